"""Emitting a stream: pace or gate, messages, sink, and the account of what went out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np

from replay.accounting import Account
from replay.batching import Batcher, SentTail, TickBatch
from replay.config import ReplayConfig
from replay.gate import Gate
from replay.instruments import InstrumentTable
from replay.pacing import Clock, LagRecorder, Schedule, SystemClock
from replay.pieces import Piece, Stream
from replay.prefetch import prefetched
from replay.releases import due_slices, released_slices
from replay.sinks import Sink
from topics.ticks import is_heartbeat, take_records


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What acts on a replay from outside while it runs.

    Attributes
    ----------
    gate
        Holds it back at times in the data.
    stop
        Once set, it ends early.
    """

    clock: Clock = field(default_factory=SystemClock)
    gate: Gate | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)


class Emission:
    """One stream on its way into one sink. Mutates self.

    Attributes
    ----------
    account
        What was emitted.
    lags
        How late, if it is paced.
    n_messages
        Handed over to the sink.
    paced_from
        Event time of the first tick that waited for its time, ns; None before there was one.
    started_ns, ended_ns
        Of the clock.
    """

    def __init__(
        self,
        config: ReplayConfig,
        stream: Stream,
        sink: Sink,
        instruments: InstrumentTable,
        control: Control,
        told: Callable[[], None],
    ) -> None:
        self._config = config
        self._stream = stream
        self._sink = sink
        self._instruments = instruments
        self._control = control
        self._told = told
        self._batcher = self._make_batcher({})
        self.account = Account(stream.schema, config.partitions, instruments.instrument_ids)
        self.lags = LagRecorder()
        self.n_messages = 0
        self.paced_from: int | None = None
        self.started_ns = self.ended_ns = control.clock.now_ns()

    @property
    def n_already_sent(self) -> int:
        """Records left out because an interrupted replay had sent them."""
        return self._batcher.n_left_out

    async def run(self) -> bool:
        """Send everything; return whether it came to the end."""
        config, control = self._config, self._control
        self._batcher = self._make_batcher(
            await self._sink.start(self._instruments.announcements(config.universe), config.run_id)
        )
        self.started_ns = control.clock.now_ns()
        is_timed = control.gate is not None or bool(config.speed)
        async with aclosing(self._timed() if is_timed else self._unpaced()) as emitted:
            async for _ in emitted:
                self.ended_ns = control.clock.now_ns()
                self._told()
                # Without a pace the next piece is counted already: it is sent, and the generator ends.
                if is_timed and control.stop.is_set():
                    break
        if not control.stop.is_set():
            return await self._finish()
        await self._hand_over(self._batcher.flush())
        await self._sink.flush()
        return False

    async def _finish(self) -> bool:
        if not self.account.ticks:
            raise self._stream.empty()
        self._batcher.require_resumed()
        await self._hand_over(self._batcher.flush())
        gate, stop = self._control.gate, self._control.stop
        while gate is not None and not gate.may_end():
            await gate.wait()
            if stop.is_set():
                await self._sink.flush()
                return False
        await self._sink.finish(self.account.ends(), self._config.run_id)
        self.ended_ns = self._control.clock.now_ns()
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
            piece = None if self._control.stop.is_set() else next(pieces, None)
            if piece is None:
                return None
            self.account.add(piece.ticks, piece.tick_targets, piece.schema)
            batches = self._batcher.add(piece.records, piece.targets, piece.schema)
            return [batch.encoded() for batch in batches] if publishes else batches

        async with aclosing(prefetched(prepare)) as prepared:
            async for batches in prepared:
                await self._hand_over(batches)
                # Lets the producer's own tasks run, and a stop be noticed.
                await self._control.clock.sleep(0)
                yield

    async def _timed(self) -> AsyncGenerator[None]:
        wall, gate = self._control.clock, self._control.gate
        schedule: Schedule | None = None
        pieces = self._stream.pieces()
        # Ahead and in a thread: reading one takes longer than the schedule lets a tick wait.
        async with aclosing(prefetched(lambda: next(pieces, None))) as read:
            async for piece in read:
                first = await self._catch_up(piece)
                if gate is not None:
                    async for start, end in released_slices(piece.records[first:], gate):
                        await self._emit_slice(piece, first + start, first + end)
                        await self._hand_over(self._batcher.flush())
                        yield
                    continue
                clock = piece.records[self._config.clock][first:]
                if not len(clock):
                    continue
                if schedule is None:
                    self.started_ns = wall.now_ns()
                    self.paced_from = int(piece.records["ts_event"][first])
                    schedule = Schedule(self._config.speed, self._config.max_gap_s, self.started_ns)
                due = schedule.due_ns(clock)
                async for start, end in due_slices(due, wall):
                    await self._emit_slice(piece, first + start, first + end)
                    await self._hand_over(self._batcher.flush())
                    self.lags.add(wall.now_ns() - due[start:end])
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
        self.account.add(take_records(records, is_tick), targets[is_tick], piece.schema)
        await self._hand_over(self._batcher.add(records, targets, piece.schema))

    async def _hand_over(self, batches: Sequence[TickBatch]) -> None:
        for batch in batches:
            await self._sink.send(batch)
        self.n_messages += len(batches)
