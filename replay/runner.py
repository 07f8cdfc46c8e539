"""Run a replay: merged ticks, heartbeats, pace, messages, sink; and account for every row."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.batching import Batcher, TickBatch
from replay.config import ReplayConfig
from replay.heartbeats import Heartbeats
from replay.instruments import InstrumentTable, instrument_table
from replay.opaque import take
from replay.pacing import Clock, LagRecorder, Schedule, SystemClock
from replay.report import Progress, ReplayReport
from replay.sinks import Sink
from replay.sources.base import Source
from replay.stream import Survey, TickStream
from topics.control import EndOfReplay
from topics.digest import TickDigest
from topics.runs import TickRun
from topics.ticks import is_heartbeat
from topics.types import NANOS_PER_SECOND, Int64Array, RecordArray

_SHORTEST_SLEEP_S: Final = 0.001
_LONGEST_SLEEP_S: Final = 0.25
"""How long a stop may go unnoticed."""


async def run_replay(
    config: ReplayConfig,
    sources: Sequence[Source],
    sink: Sink,
    *,
    clock: Clock | None = None,
    sectors: Mapping[str, str] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    stop: asyncio.Event | None = None,
) -> ReplayReport:
    """Replay sources into a sink.

    Parameters
    ----------
    sources
        From `open_sources(paths, config.selection)`.
    sectors
        Sector by symbol, instead of what the sources say.
    on_progress
        Called after each chunk, or when paced after each wake.
    stop
        Set it to end early: what was emitted is flushed, and the report says that it is incomplete.

    Raises
    ------
    SourceError
        Bad input; with a sink that publishes, before anything is sent (`check_first`).
    SinkError, TopicError
        The broker refused.
    """
    instruments = instrument_table(sources, sectors)
    stream = TickStream(config, sources, instruments)
    survey = stream.survey() if config.check_first and sink.publishes else None
    sent = await sink.start(instruments.announcements(config.universe), config.run_id)
    batcher = Batcher(
        stream.schema,
        partitions=config.partitions,
        batch_ticks=config.batch_ticks,
        run_id=config.run_id,
        sent=sent,
    )
    run = _Run(config, stream, sink, batcher, clock or SystemClock(), survey, stop or asyncio.Event())
    try:
        is_complete = await run.emit(on_progress)
    except asyncio.CancelledError:
        # What was handed over is in order and without gaps: leave it so, for a resumption.
        await sink.flush()
        raise
    return run.report(sources, instruments, is_complete)


class _Run:
    """One pass over the stream. Mutates self."""

    def __init__(
        self,
        config: ReplayConfig,
        stream: TickStream,
        sink: Sink,
        batcher: Batcher,
        clock: Clock,
        survey: Survey | None,
        stop: asyncio.Event,
    ) -> None:
        self._config = config
        self._stream = stream
        self._sink = sink
        self._batcher = batcher
        self._clock = clock
        self._survey = survey
        self._stop = stop
        self._heartbeats = Heartbeats(stream.schema, config.heartbeat_ns, config.partitions)
        self._digest = TickDigest()
        self._by_id = np.zeros(0, dtype=np.int64)
        self._by_partition = np.zeros(config.partitions, dtype=np.int64)
        self._n_messages = 0
        self._first: int | None = None
        self._last = 0
        self._paced_from: int | None = None
        self._started_ns = self._ended_ns = clock.now_ns()
        self._lags = LagRecorder()

    async def emit(self, on_progress: Callable[[Progress], None] | None) -> bool:
        async for _ in self._emitted():
            self._ended_ns = self._clock.now_ns()
            if on_progress is not None:
                on_progress(self._progress())
            if self._stop.is_set():
                await self._hand_over(self._batcher.flush())
                await self._sink.flush()
                return False
        if self._first is None:
            raise self._stream.empty()
        self._batcher.require_resumed()
        await self._hand_over(self._batcher.flush())
        await self._sink.finish(self._ends(), self._config.run_id)
        self._ended_ns = self._clock.now_ns()
        return True

    async def _emitted(self) -> AsyncIterator[None]:
        schedule: Schedule | None = None
        for ticks in self._stream.chunks():
            partitions = (ticks["instrument_id"] % np.uint32(self._config.partitions)).astype(np.uint16)
            records, targets = self._heartbeats.insert(ticks, partitions)
            if not self._config.speed:
                self._account(ticks, partitions)
                await self._hand_over(self._batcher.add(records, targets))
                # Lets the producer's own tasks run, and a stop be noticed.
                await self._clock.sleep(0)
                yield
                continue
            start = await self._catch_up(records, targets)
            records, targets = records[start:], targets[start:]
            if not len(records):
                continue
            times = records[self._config.clock]
            if schedule is None:
                self._started_ns, self._paced_from = self._clock.now_ns(), int(records["ts_event"][0])
                schedule = Schedule(self._config.speed, self._config.max_gap_s, self._started_ns)
            due = schedule.due_ns(times)
            async for start, end in self._due_slices(due):
                await self._emit_slice(records[start:end], targets[start:end])
                await self._hand_over(self._batcher.flush())
                self._lags.add(self._clock.now_ns() - due[start:end])
                yield

    async def _catch_up(self, records: RecordArray, targets: NDArray[np.uint16]) -> int:
        """Emit without waiting while a resumed replay is still in what was sent; return the rest's start."""
        start = 0
        while self._batcher.is_catching_up and start < len(records):
            end = start + self._config.batch_ticks
            await self._emit_slice(records[start:end], targets[start:end])
            start = end
        return min(start, len(records))

    async def _emit_slice(self, records: RecordArray, targets: NDArray[np.uint16]) -> None:
        is_tick = np.flatnonzero(~is_heartbeat(records))
        self._account(take(records, is_tick), targets[is_tick])
        await self._hand_over(self._batcher.add(records, targets))

    async def _due_slices(self, due: Int64Array) -> AsyncIterator[tuple[int, int]]:
        start = 0
        while start < len(due):
            now = self._clock.now_ns()
            end = int(np.searchsorted(due, now, side="right"))
            if end > start:
                yield start, end
                start = end
                continue
            wait_s = (int(due[start]) - now) / NANOS_PER_SECOND
            if wait_s > _LONGEST_SLEEP_S:
                yield start, start  # a chance to be stopped
            await self._clock.sleep(min(max(wait_s, _SHORTEST_SLEEP_S), _LONGEST_SLEEP_S))

    def _account(self, ticks: RecordArray, partitions: NDArray[np.uint16]) -> None:
        if not len(ticks):
            return
        self._digest.update(TickRun(self._stream.schema, ticks))
        counts = np.bincount(ticks["instrument_id"], minlength=len(self._by_id))
        counts[: len(self._by_id)] += self._by_id
        self._by_id = counts
        self._by_partition += np.bincount(partitions, minlength=self._config.partitions)
        times = ticks["ts_event"]
        if self._first is None:
            self._first = int(times[0])
        self._last = max(self._last, int(times.max()))

    async def _hand_over(self, batches: Sequence[TickBatch]) -> None:
        for batch in batches:
            await self._sink.send(batch)
        self._n_messages += len(batches)

    def _progress(self) -> Progress:
        ticks, survey = self._digest.n_ticks, self._survey
        fraction = None
        if survey is not None:
            span = survey.ts_last - survey.ts_first
            is_by_time = bool(self._config.speed) and span > 0
            fraction = (self._last - survey.ts_first) / span if is_by_time else ticks / survey.ticks
        return Progress(ticks=ticks, ts_event=self._last, fraction=fraction)

    def _ends(self) -> list[EndOfReplay]:
        return [
            EndOfReplay(
                ts_last=self._last,
                ticks=ticks,
                total_ticks=self._digest.n_ticks,
                digest=self._digest.value(),
            )
            for ticks in self._by_partition.tolist()
        ]

    def report(
        self, sources: Sequence[Source], instruments: InstrumentTable, is_complete: bool
    ) -> ReplayReport:
        skipped: Counter[str] = sum((source.tally.skipped for source in sources), Counter())
        corrected: Counter[str] = sum((source.tally.corrected for source in sources), Counter())
        rows = sum(source.tally.rows for source in sources)
        ticks = self._digest.n_ticks
        event_s = 0.0 if self._first is None else (self._last - self._first) / NANOS_PER_SECOND
        wall_s = (self._ended_ns - self._started_ns) / NANOS_PER_SECOND
        paced = bool(self._config.speed)
        since = self._first if self._paced_from is None else self._paced_from
        paced_s = 0.0 if since is None else (self._last - since) / NANOS_PER_SECOND
        return ReplayReport(
            run_id=self._config.run_id,
            schema=self._stream.schema,
            is_complete=is_complete,
            sources=tuple(source.name for source in sources),
            ticks=ticks,
            ticks_by_symbol={
                symbol: int(self._by_id[number]) if number < len(self._by_id) else 0
                for number, symbol in enumerate(instruments.symbols, start=1)
            },
            ticks_by_partition=tuple(self._by_partition.tolist()),
            heartbeats=self._heartbeats.n_sent,
            messages=self._n_messages,
            rows=rows,
            skipped=dict(sorted(skipped.items())),
            not_selected=rows - ticks - skipped.total(),
            corrected=dict(sorted(corrected.items())),
            already_sent=self._batcher.n_left_out,
            digest=self._digest.value(),
            ts_first=self._first,
            ts_last=self._last if self._first is not None else None,
            event_s=event_s,
            wall_s=wall_s,
            speed=paced_s / wall_s if wall_s else None,
            ticks_per_s=ticks / wall_s if wall_s else 0.0,
            lag_p99_s=self._lags.quantile_s(0.99) if paced else None,
            lag_worst_s=self._lags.worst_s if paced else None,
        )
