"""Run a replay: check the input, then merged ticks, heartbeats, pace, messages, sink."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final

import numpy as np

from replay.accounting import Account
from replay.archive.recorded import the_recorded
from replay.archive.stream import RecordedStream
from replay.batching import Batcher, SentTail, TickBatch
from replay.config import ReplayConfig
from replay.errors import ConfigError
from replay.gate import Gate
from replay.instruments import InstrumentTable, instrument_table
from replay.opaque import take
from replay.pacing import Clock, LagRecorder, Schedule, SystemClock
from replay.pieces import Piece, Stream
from replay.prefetch import prefetched
from replay.report import Progress, ReplayReport
from replay.sinks import Sink
from replay.sources.base import Source
from replay.sources.relations import Relations
from replay.stream import Survey, TickStream
from topics.ticks import is_heartbeat
from topics.types import NANOS_PER_SECOND, Int64Array, RecordArray

_SHORTEST_SLEEP_S: Final = 0.0005
"""So few ticks fall due meanwhile that a message would hold too few: the pace is kept to about this."""

_LONGEST_SLEEP_S: Final = 0.25
"""How long a stop may go unnoticed."""


async def run_replay(
    config: ReplayConfig,
    sources: Sequence[Source],
    sink: Sink,
    *,
    clock: Clock | None = None,
    gate: Gate | None = None,
    relations: Relations | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    stop: asyncio.Event | None = None,
) -> ReplayReport:
    """Replay sources into a sink.

    Parameters
    ----------
    sources
        From `open_sources(paths, config.selection)`.
    gate
        Holds a replay that is not paced back at times in the data.
    relations
        Edges between instruments, and sectors instead of what the sources say.
    on_progress
        Called after each chunk, or when paced after each wake.
    stop
        Set it to end early: what was emitted is flushed, and the report says that it is incomplete.

    Raises
    ------
    ConfigError
        A gate for a paced replay.
    SourceError
        Bad input; with a sink that publishes, before anything is sent (`check_first`).
    SinkError, TopicError
        The broker refused.
    """
    if gate is not None and config.speed:
        raise ConfigError(f"`speed` (={config.speed}) must be 0 for a replay that a gate holds back")
    instruments = instrument_table(sources, relations)
    recorded = the_recorded(sources)
    stream: Stream
    if recorded is not None:
        stream = RecordedStream(config, recorded)
    else:
        stream = TickStream(config, sources, instruments)
    account = Account(stream.schema, config.partitions, instruments.instrument_ids)
    run = _Run(
        config, stream, account, sink, clock or SystemClock(), gate, on_progress, stop or asyncio.Event()
    )
    is_complete = False
    if not (config.check_first and sink.publishes) or await run.check():
        try:
            is_complete = await run.emit(instruments)
        except asyncio.CancelledError:
            # What was handed over is in order and without gaps: leave it so, for a resumption.
            await sink.flush()
            raise
    return run.report(sources, instruments, is_complete)


class _Run:
    """One replay. Mutates self."""

    def __init__(
        self,
        config: ReplayConfig,
        stream: Stream,
        account: Account,
        sink: Sink,
        clock: Clock,
        gate: Gate | None,
        on_progress: Callable[[Progress], None] | None,
        stop: asyncio.Event,
    ) -> None:
        self._config = config
        self._stream = stream
        self._sink = sink
        self._clock = clock
        self._gate = gate
        self._on_progress = on_progress
        self._stop = stop
        self._survey: Survey | None = None
        self._batcher = self._make_batcher({})
        self._account = account
        self._lags = LagRecorder()
        self._n_messages = 0
        self._paced_from: int | None = None
        self._started_ns = self._ended_ns = clock.now_ns()

    async def check(self) -> bool:
        """Read everything once; return whether it came to the end."""
        survey = Survey()
        for records in self._stream.chunks():
            survey.add(records)
            self._tell(Progress(stage="check", ticks=survey.ticks, ts_event=survey.ts_last, fraction=None))
            await self._clock.sleep(0)
            if self._stop.is_set():
                return False
        if not survey.ticks:
            raise self._stream.empty()
        self._survey = survey
        return True

    async def emit(self, instruments: InstrumentTable) -> bool:
        """Send everything; return whether it came to the end."""
        run_id = self._config.run_id
        self._batcher = self._make_batcher(
            await self._sink.start(instruments.announcements(self._config.universe), run_id)
        )
        self._started_ns = self._clock.now_ns()
        is_timed = self._gate is not None or bool(self._config.speed)
        async with aclosing(self._timed() if is_timed else self._unpaced()) as emitted:
            async for _ in emitted:
                self._ended_ns = self._clock.now_ns()
                self._tell(self._progress())
                # Without a pace the next piece is counted already: it is sent, and the generator ends.
                if is_timed and self._stop.is_set():
                    break
        if not self._stop.is_set():
            return await self._finish()
        await self._hand_over(self._batcher.flush())
        await self._sink.flush()
        return False

    async def _finish(self) -> bool:
        if not self._account.ticks:
            raise self._stream.empty()
        self._batcher.require_resumed()
        await self._hand_over(self._batcher.flush())
        while self._gate is not None and not self._gate.may_end():
            await self._gate.wait()
            if self._stop.is_set():
                await self._sink.flush()
                return False
        await self._sink.finish(self._account.ends(), self._config.run_id)
        self._ended_ns = self._clock.now_ns()
        return True

    def _make_batcher(self, sent: Mapping[int, SentTail]) -> Batcher:
        return Batcher(
            self._stream.schema,
            partitions=self._config.partitions,
            batch_ticks=self._config.batch_ticks,
            run_id=self._config.run_id,
            sent=sent,
        )

    async def _unpaced(self) -> AsyncGenerator[None]:
        pieces = self._stream.pieces()
        publishes = self._sink.publishes

        def prepare() -> list[TickBatch] | None:
            """Read, count, cut and encode: everything that needs no event loop."""
            piece = None if self._stop.is_set() else next(pieces, None)
            if piece is None:
                return None
            self._account.add(piece.ticks, piece.tick_targets, piece.schema)
            batches = self._batcher.add(piece.records, piece.targets, piece.schema)
            return [batch.encoded() for batch in batches] if publishes else batches

        async with aclosing(prefetched(prepare)) as prepared:
            async for batches in prepared:
                await self._hand_over(batches)
                # Lets the producer's own tasks run, and a stop be noticed.
                await self._clock.sleep(0)
                yield

    async def _timed(self) -> AsyncGenerator[None]:
        schedule: Schedule | None = None
        for piece in self._stream.pieces():
            if self._gate is not None:
                async for start, end in self._released_slices(piece.records, self._gate):
                    await self._emit_slice(piece, start, end)
                    await self._hand_over(self._batcher.flush())
                    yield
                continue
            first = await self._catch_up(piece)
            clock = piece.records[self._config.clock][first:]
            if not len(clock):
                continue
            if schedule is None:
                self._started_ns = self._clock.now_ns()
                self._paced_from = int(piece.records["ts_event"][first])
                schedule = Schedule(self._config.speed, self._config.max_gap_s, self._started_ns)
            due = schedule.due_ns(clock)
            async for start, end in self._due_slices(due):
                await self._emit_slice(piece, first + start, first + end)
                await self._hand_over(self._batcher.flush())
                self._lags.add(self._clock.now_ns() - due[start:end])
                yield

    async def _catch_up(self, piece: Piece) -> int:
        """Emit without waiting while a resumed replay is still in what was sent; return the rest's start."""
        start = 0
        while self._batcher.is_catching_up and start < len(piece.records):
            end = start + self._config.batch_ticks
            await self._emit_slice(piece, start, end)
            start = end
        return min(start, len(piece.records))

    async def _emit_slice(self, piece: Piece, start: int, end: int) -> None:
        records, targets = piece.records[start:end], piece.targets[start:end]
        is_tick = np.flatnonzero(~is_heartbeat(records))
        self._account.add(take(records, is_tick), targets[is_tick], piece.schema)
        await self._hand_over(self._batcher.add(records, targets, piece.schema))

    async def _released_slices(self, records: RecordArray, gate: Gate) -> AsyncIterator[tuple[int, int]]:
        ts_event, is_tick = records["ts_event"].astype(np.int64), ~is_heartbeat(records)
        start = 0
        while start < len(records):
            end = start + gate.released(ts_event[start:], is_tick[start:])
            yield start, end  # also of nothing: a chance to be stopped
            if end == start:
                await gate.wait()
            start = end

    async def _due_slices(self, due: Int64Array) -> AsyncIterator[tuple[int, int]]:
        start = 0
        while start < len(due):
            now = self._clock.now_ns()
            end = int(np.searchsorted(due, now, side="right"))
            if end > start:
                yield start, end
                start = end
                if start == len(due):
                    return
                now = self._clock.now_ns()
            # At least the shortest sleep, also where the next tick is due already: else every few ticks of a
            # dense stream would be messages of their own.
            wait_s = (int(due[start]) - now) / NANOS_PER_SECOND
            if wait_s > _LONGEST_SLEEP_S:
                yield start, start  # a chance to be stopped
            await self._clock.sleep(min(max(wait_s, _SHORTEST_SLEEP_S), _LONGEST_SLEEP_S))

    async def _hand_over(self, batches: Sequence[TickBatch]) -> None:
        for batch in batches:
            await self._sink.send(batch)
        self._n_messages += len(batches)

    def _tell(self, progress: Progress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress)

    def _progress(self) -> Progress:
        ticks, last, survey = self._account.ticks, self._account.ts_last, self._survey
        fraction = None
        if survey is not None and survey.ts_first is not None:
            span = survey.ts_last - survey.ts_first
            is_by_time = bool(self._config.speed) and span > 0
            fraction = max(last - survey.ts_first, 0) / span if is_by_time else ticks / survey.ticks
        return Progress(stage="replay", ticks=ticks, ts_event=last, fraction=fraction)

    def report(
        self, sources: Sequence[Source], instruments: InstrumentTable, is_complete: bool
    ) -> ReplayReport:
        """Return what has become of it."""
        skipped: Counter[str] = sum((source.tally.skipped for source in sources), Counter())
        corrected: Counter[str] = sum((source.tally.corrected for source in sources), Counter())
        rows = sum(source.tally.rows for source in sources)
        account = self._account
        since = account.ts_first if self._paced_from is None else self._paced_from
        wall_s = (self._ended_ns - self._started_ns) / NANOS_PER_SECOND
        is_paced = bool(self._config.speed)
        return ReplayReport(
            run_id=self._config.run_id,
            schema=self._stream.schema,
            is_complete=is_complete,
            sources=tuple(source.name for source in sources),
            ticks=account.ticks,
            ticks_by_symbol=account.by_symbol(instruments.symbols),
            ticks_by_partition=account.by_partition,
            heartbeats=self._stream.heartbeats,
            messages=self._n_messages,
            rows=rows,
            skipped=dict(sorted(skipped.items())),
            not_selected=rows - account.ticks - skipped.total(),
            corrected=dict(sorted(corrected.items())),
            already_sent=self._batcher.n_left_out,
            digest=account.digest,
            ts_first=account.ts_first,
            ts_last=None if account.ts_first is None else account.ts_last,
            event_s=_seconds(account.ts_first, account.ts_last),
            wall_s=wall_s,
            speed=_seconds(since, account.ts_last) / wall_s if wall_s else None,
            ticks_per_s=account.ticks / wall_s if wall_s else 0.0,
            lag_p99_s=self._lags.quantile_s(0.99) if is_paced else None,
            lag_worst_s=self._lags.worst_s if is_paced else None,
        )


def _seconds(first_ns: int | None, last_ns: int) -> float:
    return 0.0 if first_ns is None else (last_ns - first_ns) / NANOS_PER_SECOND
