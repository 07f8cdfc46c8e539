"""A stage takes what a Faust stream delivers in batches, one batch at a time.

Invariants: a batch is whatever has arrived while the last one was processed, so catching up is done in long runs
and live work at once; on a rebalance the batch in flight is finished first and everything in memory is forgotten,
since Kafka delivers again from the last commit; what was in hand before the rebalance is dropped unacknowledged, as
it would start the state anew in the middle of a partition, and nothing that comes after it is dropped.
"""

from __future__ import annotations

import abc
import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import faust
from faust.types import EventT, StreamT

from pipeline.agents.delivery import OrderedDelivery, SourceOffsets
from pipeline.agents.transport import done_with_messages, receiving

MAX_QUEUED_MESSAGES: Final = 1024
"""No more are asked for while so many of at most a few hundred KiB wait; one fetch may bring more."""

MAX_BATCH_MESSAGES: Final = 256
"""What a stage takes at once, so that the next one can begin."""

logger = logging.getLogger(__name__)


class Stage(abc.ABC):
    """Feeds one agent's events to `process` in batches.

    Parameters
    ----------
    app
        The Faust application, crashed when `process` raises: Kafka then delivers again elsewhere.
    offsets
        What the broker knows of the stage's source topic.
    """

    def __init__(self, app: faust.App, offsets: SourceOffsets) -> None:
        self.app = app
        self._offsets = offsets
        self._waiting: dict[int, deque[EventT[Any]]] = {}  # by partition
        self._n_waiting = 0
        self._arrived = asyncio.Event()
        self._wait_for_room: list[Callable[[], object]] = []
        self._turn = asyncio.Lock()
        # Rebalances so far. Faust suspends and clears its streams before it signals the revocation, so what a
        # stream yields afterwards is of the new assignment; its signal of the assignment may come later than that.
        self._epoch = 0
        self._delivery = OrderedDelivery(app, offsets, on_error=self._crash_on_error)

    @property
    def epoch(self) -> int:
        """Rebalances so far."""
        return self._epoch

    def take(self, epoch: int, events: list[EventT[Any]]) -> bool:
        """Take consecutive messages of one partition; return whether there is room for more."""
        if epoch == self._epoch:
            self._waiting.setdefault(events[0].message.partition, deque()).extend(events)
            self._n_waiting += len(events)
            self._arrived.set()
        return self._n_waiting < MAX_QUEUED_MESSAGES

    def when_room(self, callback: Callable[[], object]) -> None:
        """Call back once there is room again."""
        self._wait_for_room.append(callback)

    @abc.abstractmethod
    async def process(self, partition: int, events: list[EventT[Any]]) -> None:
        """Handle consecutive events of one source partition and acknowledge what is done."""

    @abc.abstractmethod
    def forget(self) -> None:
        """Drop all state in memory; it is restored from the broker when events come again."""

    @abc.abstractmethod
    async def checkpoint_if_due(self) -> None:
        """Write a checkpoint, if the stage keeps one and it is due."""

    async def tick(self) -> None:
        """Give a checkpoint its turn between batches; called by a timer."""
        async with self._turn:
            await self.checkpoint_if_due()

    async def rouse(self) -> None:
        """Notice a partition whose messages Faust has thrown away; called by a timer."""
        async with self._turn:
            await self._delivery.rouse()

    async def consume(self, stream: StreamT[Any]) -> None:
        """Run the stage over a stream until the worker stops."""
        drain = asyncio.create_task(self._drain())
        drain.add_done_callback(self._crash_on_error)
        try:
            with receiving(self.app, self._offsets.topic, self):
                async for event in stream.noack().events():  # type: ignore[attr-defined]  # StreamT lacks noack
                    epoch = self._epoch
                    while self._n_waiting >= MAX_QUEUED_MESSAGES:
                        room = asyncio.Event()
                        self.when_room(room.set)
                        await room.wait()
                    self.take(epoch, [event])
        finally:
            drain.cancel()

    async def reset(self) -> None:
        """Let the batch in flight end, then forget everything; called when partitions are revoked."""
        self._epoch += 1
        self._waiting.clear()
        self._n_waiting = 0
        async with self._turn:
            self._delivery.forget()
            self.forget()

    async def process_all(self, by_partition: dict[int, list[EventT[Any]]]) -> None:
        """Handle consecutive events of several source partitions, by default one partition after the other."""
        for partition, events in by_partition.items():
            await self.process(partition, events)

    async def _drain(self) -> None:
        while True:
            await self._arrived.wait()
            async with self._turn:
                events = await self._delivery.admit(self._next_batch())
                if events:
                    await self.process_all(_by_partition(events))
            done_with_messages(self.app)
            await asyncio.sleep(0)  # numerical work must not starve the consumer's callbacks

    def _next_batch(self) -> list[EventT[Any]]:
        """Return what waits, a share of each partition and each in its order; call back whoever waits for room."""
        batch: list[EventT[Any]] = []
        share = max(1, MAX_BATCH_MESSAGES // max(1, len(self._waiting)))
        for partition, waiting in list(self._waiting.items()):
            batch += [waiting.popleft() for _ in range(min(share, len(waiting)))]
            if not waiting:
                del self._waiting[partition]
        self._n_waiting -= len(batch)
        if not self._n_waiting:
            self._arrived.clear()
        if self._n_waiting < MAX_QUEUED_MESSAGES:
            callbacks, self._wait_for_room = self._wait_for_room, []
            for callback in callbacks:
                callback()
        return batch

    def _crash_on_error(self, drain: asyncio.Task[None]) -> None:
        if drain.cancelled():
            return
        error = drain.exception()
        if error is not None:
            logger.critical("%s failed: %s", type(self).__name__, error, exc_info=error)
            asyncio.get_running_loop().create_task(self.app.crash(error))


def _by_partition(events: list[EventT[Any]]) -> dict[int, list[EventT[Any]]]:
    groups: dict[int, list[EventT[Any]]] = {}
    for event in events:
        groups.setdefault(event.message.partition, []).append(event)
    return dict(sorted(groups.items()))
