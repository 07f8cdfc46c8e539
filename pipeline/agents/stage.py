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
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import faust
from faust.types import EventT, StreamT

from pipeline.agents.delivery import OrderedDelivery, SourceOffsets

MAX_QUEUED_MESSAGES: Final = 128
"""Back-pressure on Faust's stream: 128 messages of at most a few hundred KiB."""

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
        self._queue: asyncio.Queue[tuple[int, EventT[Any]]] = asyncio.Queue(MAX_QUEUED_MESSAGES)
        self._turn = asyncio.Lock()
        # Rebalances so far. Faust suspends and clears its streams before it signals the revocation, so what a
        # stream yields afterwards is of the new assignment; its signal of the assignment may come later than that.
        self._epoch = 0
        self._delivery = OrderedDelivery(app, offsets, on_error=self._crash_on_error)

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
            async for event in stream.noack().events():  # type: ignore[attr-defined]  # StreamT leaves noack out
                await self._queue.put((self._epoch, event))
        finally:
            drain.cancel()

    async def reset(self) -> None:
        """Let the batch in flight end, then forget everything; called when partitions are revoked."""
        self._epoch += 1
        async with self._turn:
            self._delivery.forget()
            self.forget()

    async def _drain(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            async with self._turn:
                events_in_order = await self._delivery.admit(self._current(batch))
                for partition, events in _by_partition(events_in_order):
                    await self.process(partition, events)
            await asyncio.sleep(0)  # numerical work must not starve the consumer's callbacks

    def _current(self, batch: Iterable[tuple[int, EventT[Any]]]) -> list[EventT[Any]]:
        return [event for epoch, event in batch if epoch == self._epoch]

    def _crash_on_error(self, drain: asyncio.Task[None]) -> None:
        if drain.cancelled():
            return
        error = drain.exception()
        if error is not None:
            logger.critical("%s failed: %s", type(self).__name__, error, exc_info=error)
            asyncio.get_running_loop().create_task(self.app.crash(error))


def _by_partition(events: list[EventT[Any]]) -> Iterator[tuple[int, list[EventT[Any]]]]:
    partition_of = attrgetter("message.partition")
    for partition, group in groupby(sorted(events, key=partition_of), key=partition_of):
        yield partition, list(group)
