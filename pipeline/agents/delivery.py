"""Holds Faust to its contract: see `pipeline.delivery` for what goes wrong, and for the rule."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import faust
from faust.types import TP, EventT

from pipeline.config import PipelineConfig
from pipeline.delivery import DeliveryGate, Verdict
from topics.groups import group_lag
from topics.offsets import first_offset_from

SETTLE_S: Final = 0.2
"""How long a paused partition may still deliver what was fetched before."""

logger = logging.getLogger(__name__)


class SourceOffsets(Protocol):
    """What the broker knows of a stage's source topic."""

    @property
    def topic(self) -> str:
        """Its name."""

    async def committed(self) -> dict[int, int]:
        """Return the group's committed offset by partition, the partition's first where it has committed none."""

    async def unread(self) -> set[int]:
        """Return the partitions that hold messages from the group's committed offset on."""

    async def first_from(self, partition: int, offset: int) -> int:
        """Return the smallest offset >= `offset` at which a partition holds a message."""


class BrokerOffsets:
    """Asks the broker, rather than Faust's own books."""

    def __init__(self, config: PipelineConfig, group: str, topic: str) -> None:
        self._bootstrap = config.bootstrap_servers
        self._group = group
        self._topic = topic

    @property
    def topic(self) -> str:
        """The source topic's name."""
        return self._topic

    async def committed(self) -> dict[int, int]:
        """Return the group's committed offset by partition; says so where retention was faster than the group."""
        lags = await group_lag(self._bootstrap, self._group, [self._topic])
        for lag in lags:
            if lag.deleted:
                logger.error(
                    "%d messages of %s partition %d were deleted before group %s consumed them:"
                    " raise the topic's retention",
                    lag.deleted,
                    self._topic,
                    lag.partition,
                    self._group,
                )
        return {lag.partition: lag.committed for lag in lags}

    async def unread(self) -> set[int]:
        """Return the partitions that hold messages from the group's committed offset on."""
        lags = await group_lag(self._bootstrap, self._group, [self._topic])
        return {lag.partition for lag in lags if lag.lag}

    async def first_from(self, partition: int, offset: int) -> int:
        """Return the smallest offset >= `offset` at which a partition holds a message."""
        return await first_offset_from(self._bootstrap, self._topic, partition, offset)


class OrderedDelivery:
    """Lets messages pass in order and without gaps; mutates self.

    Parameters
    ----------
    app
        Whose consumer is set back where it skipped messages.
    offsets
        Asked once an assignment, and when messages are skipped.
    on_error
        Called with a rewind that ended, to notice its failure.
    """

    def __init__(
        self,
        app: faust.App,
        offsets: SourceOffsets,
        *,
        on_error: Callable[[asyncio.Task[None]], None],
    ) -> None:
        self._app = app
        self._offsets = offsets
        self._on_error = on_error
        self._gates: dict[int, DeliveryGate] = {}
        self._heard: set[int] = set()
        self._suspects: set[int] = set()
        self._rewinds: set[asyncio.Task[None]] = set()

    async def admit(self, events: Iterable[EventT[Any]]) -> list[EventT[Any]]:
        """Return the messages to take now; rewind the partitions of those that skip others."""
        admitted = []
        for event in events:
            self._heard.add(event.message.partition)
            gate = await self._gate_of(event.message.partition)
            verdict = gate.observe(event.message.offset)
            if verdict is Verdict.TAKE or (verdict is Verdict.LOOK and await self._look(event, gate)):
                admitted.append(event)
        return admitted

    async def rouse(self) -> None:
        """Read a partition again from which nothing has come, twice in a row, though the broker holds something.

        What Faust throws away after a rebalance is missed with the next message. Where there is none, as at the end
        of a replay, nobody would miss it; so this is called now and then.
        """
        suspects = set() if self._app.rebalancing else self._silent()
        if suspects:
            suspects &= await self._offsets.unread()
        for partition in suspects & self._suspects:
            logger.warning("%s partition %d: nothing came; reading again", self._offsets.topic, partition)
            self._start_rewind(TP(self._offsets.topic, partition), await self._gate_of(partition))
        self._suspects = suspects - self._suspects

    def _silent(self) -> set[int]:
        assigned = self._app.consumer.assignment()
        return {tp.partition for tp in assigned if tp.topic == self._offsets.topic} - self._heard

    async def _gate_of(self, partition: int) -> DeliveryGate:
        if partition not in self._gates:
            for number, expected in (await self._offsets.committed()).items():
                self._gates.setdefault(number, DeliveryGate(expected))
        return self._gates[partition]

    async def _look(self, event: EventT[Any], gate: DeliveryGate) -> bool:
        """Take a message that skips others if they are not there; set the consumer back if they are."""
        # The message's own place is of the client's type, which Faust's consumer refuses.
        tp = TP(event.message.topic, event.message.partition)
        offset, expected = event.message.offset, gate.expected
        first_there = await self._offsets.first_from(tp.partition, expected)
        is_next = gate.resolve(offset, first_there)
        if first_there > expected:
            logger.warning("%s: offsets %d to %d are not there", tp, expected, first_there - 1)
        if not is_next:
            logger.warning("%s: message %d skips %d; reading again from there", tp, offset, first_there)
            self._start_rewind(tp, gate)
        return is_next

    def forget(self) -> None:
        """Drop what belongs to an assignment that was revoked."""
        self._gates.clear()
        self._heard.clear()
        self._suspects.clear()
        for rewind in self._rewinds:
            rewind.cancel()

    def _start_rewind(self, tp: TP, gate: DeliveryGate) -> None:
        rewind = asyncio.create_task(self._rewind(tp, gate))
        self._rewinds.add(rewind)
        rewind.add_done_callback(self._rewinds.discard)
        rewind.add_done_callback(self._on_error)

    async def _rewind(self, tp: TP, gate: DeliveryGate) -> None:
        # Faust drops what lies below the last offset that it read: nothing may be under way when it is set back.
        consumer = self._app.consumer
        consumer.pause_partitions({tp})
        await asyncio.sleep(SETTLE_S)
        await consumer.seek_wait({tp: gate.expected})
        gate.rewound()
        consumer.resume_partitions({tp})
