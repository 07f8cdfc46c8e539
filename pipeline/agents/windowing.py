"""Windows agent: ticks in, closed windows out, refused ticks to dead letters.

Its state is what the unacknowledged messages give again, so it keeps no checkpoint: a message is acknowledged
once every window that it touches is with the broker, and after a rebalance Kafka starts at the first that is not.
The next stage may have the windows before the broker has, see `pipeline.agents.handover`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import faust
from faust.types import EventT

from pipeline.agents.delivery import SourceOffsets
from pipeline.agents.handover import Handover, Successor
from pipeline.agents.publishing import Sink, publish
from pipeline.agents.stage import Stage
from pipeline.agents.tick_partition import TickBatch, TickPartition, undecodable
from pipeline.config import PipelineConfig
from topics.control import EndOfReplay, decode_control
from topics.cuts import cut_windows
from topics.envelope import Envelope, Message
from topics.errors import SchemaError, UnknownVersion
from topics.messages import window_message
from topics.runs import WindowRun
from topics.ticks import decode_ticks, join_records


@dataclass(frozen=True, slots=True)
class _Closed:
    """Windows that one partition closed, after those that it had closed before."""

    run: WindowRun
    after_ns: int | None
    envelope: Envelope

    @property
    def is_one_window(self) -> bool:
        """Whether it is what live markets bring: longer runs are a backlog's, whose work threads share."""
        ends = self.run.rows["ts_close"]
        return not len(ends) or bool(ends[0] == ends[-1])


class WindowsStage(Stage):
    """Folds tick messages into windows, partition by partition."""

    def __init__(
        self,
        app: faust.App,
        config: PipelineConfig,
        offsets: SourceOffsets,
        *,
        windows_topic: Sink,
        dead_letters_topic: Sink,
        successor: Successor[WindowRun] | None = None,
    ) -> None:
        super().__init__(app, offsets)
        self._config = config
        self._windows_topic = windows_topic
        self._dead_letters_topic = dead_letters_topic
        self._successor = successor
        self._partitions: dict[int, TickPartition] = {}
        self._first_offset: int | None = None

    def forget(self) -> None:
        """Drop the open windows: their ticks are unacknowledged and come again."""
        self._partitions.clear()
        self._first_offset = None

    async def checkpoint_if_due(self) -> None:
        """Do nothing: the unacknowledged ticks are the checkpoint."""

    def assign(self, partitions: Iterable[int]) -> None:
        """Watch the partitions of a new assignment, also those that stay silent."""
        for partition in partitions:
            self._partition(partition)

    async def process_all(self, by_partition: dict[int, list[EventT[Any]]]) -> None:
        """Fold messages; send refused ticks first, then the windows of all partitions, then acknowledge."""
        refused: list[Message] = []
        folded = [self._fold(partition, events, refused) for partition, events in by_partition.items()]
        closed = [windows for windows in folded if windows is not None]
        await self._hand_over(closed)
        await publish(self._dead_letters_topic, refused)
        await self._send(closed)
        for partition in by_partition:
            self._partitions[partition].acknowledge()

    async def process(self, partition: int, events: list[EventT[Any]]) -> None:
        """Handle messages of one partition."""
        await self.process_all({partition: events})

    async def _hand_over(self, closed: list[_Closed]) -> None:
        if self._successor is None or self._first_offset is None:
            return
        for windows in closed:
            if windows.after_ns is not None and windows.is_one_window:
                await self._successor.take_early(
                    Handover(windows.run, windows.after_ns, self._first_offset, windows.envelope)
                )

    async def _send(self, closed: list[_Closed]) -> None:
        offsets = await publish(
            self._windows_topic, [message for windows in closed for message in self._messages(windows)]
        )
        if offsets and self._first_offset is None:
            self._first_offset = offsets[0]

    def _fold(self, partition: int, events: list[EventT[Any]], refused: list[Message]) -> _Closed | None:
        """Fold messages of a partition; return the windows that they closed."""
        closed: list[WindowRun | None] = []
        envelope = Envelope("", 0, "application/json", mode=self._config.mode, run_id=self._config.run_id)
        ticks = self._partition(partition)
        ticks.heard_ns = time.time_ns()
        batch = TickBatch()
        for event in events:
            try:
                envelope = Envelope.from_headers(event.message.headers)
                run = (
                    None
                    if envelope.schema == EndOfReplay.SCHEMA
                    else decode_ticks(event.message.value, envelope)
                )
            except SchemaError as error:
                closed.append(batch.fold_into(ticks, refused))
                refused.append(undecodable(event, error, envelope))
                ticks.hold(event, 0)
                continue
            if run is not None and batch.takes(run):
                batch.add(event, run, envelope)
                continue
            closed.append(batch.fold_into(ticks, refused))
            if run is not None:
                batch.add(event, run, envelope)
                continue
            try:
                closed.append(self._finish(ticks, event, envelope))
            except SchemaError as error:
                refused.append(undecodable(event, error, envelope))
                ticks.hold(event, 0)
        closed.append(batch.fold_into(ticks, refused))
        return self._close(ticks, closed, envelope)

    def _partition(self, number: int) -> TickPartition:
        found = self._partitions.get(number)
        if found is None:
            found = self._partitions[number] = TickPartition(self._config, number)
        return found

    async def close_idle(self, now_ns: int) -> None:
        """Advance partitions that were silent for the idle time-out (live feeds only)."""
        idle_ns = self._config.idle_after_ns
        # A worker that is slow to start hears nothing from its feed yet, and has no producer to say so with.
        if not idle_ns or not self.app.producer.started:
            return
        async with self._turn:
            envelope = Envelope("", 0, "application/json", mode="live", run_id=self._config.run_id)
            for ticks in self._partitions.values():
                if now_ns - ticks.heard_ns >= idle_ns:
                    # Not handed over: a worker that is killed would not close them by the same clock again.
                    closed = self._close(ticks, [ticks.aggregator.advance(now_ns - idle_ns)], envelope)
                    await self._send([] if closed is None else [closed])
                    ticks.acknowledge()

    def _finish(self, ticks: TickPartition, event: EventT[Any], envelope: Envelope) -> WindowRun | None:
        record = decode_control(event.message.value, envelope)
        if not isinstance(record, EndOfReplay):
            raise UnknownVersion(
                f"schema {envelope.schema!r} has no place on a tick topic", field_path="schema"
            )
        closed = ticks.aggregator.finish(record.ts_last)
        ticks.hold(event, 0)
        return closed

    def _close(
        self, ticks: TickPartition, closed: list[WindowRun | None], envelope: Envelope
    ) -> _Closed | None:
        run = _join(closed)
        if run is None:
            return None
        after_ns, ticks.closed_ns = ticks.closed_ns, run.frontier_ns
        return _Closed(run, after_ns, envelope)

    def _messages(self, closed: _Closed) -> list[Message]:
        ticks, envelope = self._partitions[closed.run.partition], closed.envelope
        messages = []
        for piece in cut_windows(closed.run, self._config.max_run_bytes):
            messages.append(
                window_message(piece, run_id=envelope.run_id, mode=envelope.mode, seq=ticks.n_sent)
            )
            ticks.n_sent += 1
        return messages


def _join(runs: Iterable[WindowRun | None]) -> WindowRun | None:
    """Join consecutive runs of one partition; the last frontier holds for all."""
    closed = [run for run in runs if run is not None]
    if len(closed) < 2:
        return closed[0] if closed else None
    last = closed[-1]
    return replace(last, rows=join_records([run.rows for run in closed]))
