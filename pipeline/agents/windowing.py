"""Windows agent: ticks in, closed windows out, refused ticks to dead letters.

Its state is what the unacknowledged messages give again, so it keeps no checkpoint: a message is acknowledged
once every window that it touches is with the broker, and after a rebalance Kafka starts at the first that is not.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import faust
import numpy as np
from faust.types import EventT

from pipeline.acks import AckLedger
from pipeline.agents.delivery import SourceOffsets
from pipeline.agents.publishing import dead_letter, publish
from pipeline.agents.stage import Stage
from pipeline.config import PipelineConfig
from pipeline.windows import FoldResult, WindowAggregator
from topics.control import EndOfReplay, decode_control
from topics.cuts import cut_windows
from topics.envelope import Envelope, Message
from topics.errors import SchemaError, UnknownVersion
from topics.messages import window_message
from topics.runs import TickRun, WindowRun
from topics.ticks import decode_ticks
from topics.types import RecordArray


class _TickPartition:
    """What one tick partition has open: windows, and messages that wait for them."""

    def __init__(self, config: PipelineConfig, partition: int) -> None:
        self.aggregator = WindowAggregator(
            config.universe,
            partition,
            config.window_size_ns,
            config.allowed_lateness_ns,
            partitions=config.tick_partitions,
        )
        self.ledger = AckLedger()
        self.unacknowledged: dict[int, EventT[Any]] = {}
        self.n_sent = 0
        self.heard_ns = time.time_ns()

    def hold(self, event: EventT[Any], last_close_touched_ns: int) -> None:
        self.ledger.add(event.message.offset, last_close_touched_ns)
        self.unacknowledged[event.message.offset] = event

    def acknowledge(self) -> None:
        for offset in self.ledger.ready(self.aggregator.frontier_ns):
            self.unacknowledged.pop(offset).ack()


class WindowsStage(Stage):
    """Folds tick messages into windows, partition by partition."""

    def __init__(
        self,
        app: faust.App,
        config: PipelineConfig,
        offsets: SourceOffsets,
        *,
        windows_topic: faust.TopicT,
        dead_letters_topic: faust.TopicT,
    ) -> None:
        super().__init__(app, offsets)
        self._config = config
        self._windows_topic = windows_topic
        self._dead_letters_topic = dead_letters_topic
        self._partitions: dict[int, _TickPartition] = {}

    def forget(self) -> None:
        """Drop the open windows: their ticks are unacknowledged and come again."""
        self._partitions.clear()

    async def checkpoint_if_due(self) -> None:
        """Do nothing: the unacknowledged ticks are the checkpoint."""

    def assign(self, partitions: Iterable[int]) -> None:
        """Watch the partitions of a new assignment, also those that stay silent."""
        for partition in partitions:
            self._partitions.setdefault(partition, _TickPartition(self._config, partition))

    async def process(self, partition: int, events: list[EventT[Any]]) -> None:
        """Fold messages; send refused ticks first, then the windows, then acknowledge."""
        closed: list[WindowRun | None] = []
        refused: list[Message] = []
        envelope = Envelope("", 0, "application/json", mode=self._config.mode, run_id=self._config.run_id)
        ticks = self._partitions.setdefault(partition, _TickPartition(self._config, partition))
        ticks.heard_ns = time.time_ns()
        for event in events:
            try:
                envelope = Envelope.from_headers(event.message.headers)
                if envelope.schema == EndOfReplay.SCHEMA:
                    closed.append(self._finish(ticks, event, envelope))
                    continue
                run = decode_ticks(event.message.value, envelope)
            except SchemaError as error:
                refused.append(_undecodable(event, error, envelope))
                ticks.hold(event, 0)
                continue
            result = ticks.aggregator.fold(run)
            ticks.hold(event, result.last_close_touched_ns)
            closed.append(result.closed)
            refused.extend(_refused(event, run, result, envelope))
        await publish(self._dead_letters_topic, refused)
        await self._publish_windows(partition, closed, envelope)

    async def close_idle(self, now_ns: int) -> None:
        """Advance partitions that were silent for the idle time-out (live feeds only)."""
        idle_ns = self._config.idle_after_ns
        if not idle_ns:
            return
        async with self._turn:
            envelope = Envelope("", 0, "application/json", mode="live", run_id=self._config.run_id)
            for partition, ticks in self._partitions.items():
                if now_ns - ticks.heard_ns >= idle_ns:
                    closed = ticks.aggregator.advance(now_ns - idle_ns)
                    await self._publish_windows(partition, [closed], envelope)

    def _finish(self, ticks: _TickPartition, event: EventT[Any], envelope: Envelope) -> WindowRun | None:
        record = decode_control(event.message.value, envelope)
        if not isinstance(record, EndOfReplay):
            raise UnknownVersion(
                f"schema {envelope.schema!r} has no place on a tick topic", field_path="schema"
            )
        closed = ticks.aggregator.finish(record.ts_last)
        ticks.hold(event, 0)
        return closed

    async def _publish_windows(
        self, partition: int, closed: list[WindowRun | None], envelope: Envelope
    ) -> None:
        ticks = self._partitions[partition]
        run = _join(closed)
        if run is not None:
            messages = []
            for piece in cut_windows(run, self._config.max_run_bytes):
                messages.append(
                    window_message(piece, run_id=envelope.run_id, mode=envelope.mode, seq=ticks.n_sent)
                )
                ticks.n_sent += 1
            await publish(self._windows_topic, messages)
        ticks.acknowledge()


def _join(runs: Iterable[WindowRun | None]) -> WindowRun | None:
    """Join consecutive runs of one partition; the last frontier holds for all."""
    closed = [run for run in runs if run is not None]
    if len(closed) < 2:
        return closed[0] if closed else None
    last = closed[-1]
    rows: RecordArray = np.concatenate([run.rows for run in closed])
    return WindowRun(last.universe, last.partition, last.size_ns, last.frontier_ns, rows)


def _undecodable(event: EventT[Any], error: SchemaError, envelope: Envelope) -> Message:
    return dead_letter(
        event,
        cause="undecodable",
        detail=str(error),
        payload=event.message.value or b"",
        n_records=1,
        mode=envelope.mode,
        run_id=envelope.run_id,
    )


def _refused(event: EventT[Any], run: TickRun, result: FoldResult, envelope: Envelope) -> list[Message]:
    """Return one dead letter for each cause among a message's refused ticks."""
    causes = np.array(result.invalid_causes, dtype=np.str_)
    groups = [(str(cause), result.invalid[causes == cause]) for cause in np.unique(causes)]
    if len(result.late):
        groups.append(("late", result.late))
    return [
        dead_letter(
            event,
            cause=cause,
            detail=f"{len(records)} of the message's {len(run.records)} records",
            payload=records.tobytes(),
            n_records=len(records),
            schema=run.schema,
            mode=envelope.mode,
            run_id=envelope.run_id,
        )
        for cause, records in groups
    ]
