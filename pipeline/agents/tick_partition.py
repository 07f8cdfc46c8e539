"""What one tick partition has in progress: its open windows, messages that wait for them, refused ticks."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from faust.types import EventT

from pipeline.acks import AckLedger
from pipeline.agents.publishing import dead_letter
from pipeline.config import PipelineConfig
from pipeline.windows import FoldResult, WindowAggregator
from topics.envelope import Envelope, Message
from topics.errors import SchemaError
from topics.runs import TickRun, WindowRun
from topics.ticks import join_records
from topics.types import Int64Array


class TickPartition:
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
        self.closed_ns: int | None = None
        """Frontier of the last windows that this worker closed; those before the first ones may be another's."""
        self.heard_ns = time.time_ns()

    def hold(self, event: EventT[Any], last_close_touched_ns: int) -> None:
        """Keep a message unacknowledged until all windows up to an end are sent."""
        self.ledger.add(event.message.offset, last_close_touched_ns)
        self.unacknowledged[event.message.offset] = event

    def acknowledge(self) -> None:
        """Acknowledge what waits for no window any more."""
        for offset in self.ledger.ready(self.aggregator.frontier_ns):
            self.unacknowledged.pop(offset).ack()


class TickBatch:
    """Consecutive messages of one schema, folded as one run: a message alone hardly pays for its fold.

    How ticks are cut into runs changes no bit; all messages of a batch wait for the last window that any touches.
    """

    def __init__(self) -> None:
        self._messages: list[tuple[EventT[Any], TickRun, Envelope]] = []

    def takes(self, run: TickRun) -> bool:
        """Return whether a run can go with those that were added."""
        return bool(self._messages) and self._messages[0][1].schema == run.schema

    def add(self, event: EventT[Any], run: TickRun, envelope: Envelope) -> None:
        """Take a message."""
        self._messages.append((event, run, envelope))

    def fold_into(self, ticks: TickPartition, refused: list[Message]) -> WindowRun | None:
        """Fold what was added and hold its messages; start anew."""
        messages, self._messages = self._messages, []
        if not messages:
            return None
        schema, records = messages[0][1].schema, join_records([run.records for _, run, _ in messages])
        result = ticks.aggregator.fold(TickRun(schema, records))
        for event, _, _ in messages:
            ticks.hold(event, result.last_close_touched_ns)
        refused += _refused(messages, result)
        return result.closed


def undecodable(event: EventT[Any], error: SchemaError, envelope: Envelope) -> Message:
    """Return the dead letter of a message that cannot be read; `envelope` is of one that can, or a blank one."""
    return dead_letter(
        event,
        cause="undecodable",
        detail=str(error),
        payload=event.message.value or b"",
        n_records=1,
        mode=envelope.mode,
        run_id=envelope.run_id,
    )


def _refused(batch: list[tuple[EventT[Any], TickRun, Envelope]], result: FoldResult) -> list[Message]:
    """Return one dead letter for each message and cause among the refused ticks of messages folded together."""
    if not len(result.late) and not len(result.invalid):
        return []
    starts = np.cumsum([0] + [len(run.records) for _, run, _ in batch])
    letters: list[Message] = []
    causes = np.array(result.invalid_causes, dtype=np.str_)
    for index, (event, run, envelope) in enumerate(batch):
        start, end = int(starts[index]), int(starts[index + 1])
        late = result.late[_between(result.late_positions, start, end)]
        here = _between(result.invalid_positions, start, end)
        invalid, why = result.invalid[here], causes[here]
        groups = [(str(cause), invalid[why == cause]) for cause in np.unique(why)]
        if len(late):
            groups.append(("late", late))
        letters += [
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
    return letters


def _between(positions: Int64Array, start: int, end: int) -> slice:
    # Positions ascend.
    return slice(int(np.searchsorted(positions, start)), int(np.searchsorted(positions, end)))
