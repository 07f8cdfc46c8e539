"""A stage takes what a Faust stream delivers in batches, one batch at a time.

Invariants: a batch is whatever has arrived while the last one was processed, so catching up is done in long runs
and live work at once; on a rebalance the batch in flight is finished first and everything in memory is forgotten,
since Kafka delivers again from the last commit; what was in hand before the rebalance, or arrives before the new
assignment, is dropped unacknowledged: it would start the state anew in the middle of a partition.
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

MAX_QUEUED_MESSAGES: Final = 128
"""Back-pressure on Faust's stream: 128 messages of at most a few hundred KiB."""

logger = logging.getLogger(__name__)


class Stage(abc.ABC):
    """Feeds one agent's events to `process` in batches.

    Parameters
    ----------
    app
        The Faust application, crashed when `process` raises: Kafka then delivers again elsewhere.
    """

    def __init__(self, app: faust.App) -> None:
        self.app = app
        self._queue: asyncio.Queue[tuple[int, EventT[Any]]] = asyncio.Queue(MAX_QUEUED_MESSAGES)
        self._turn = asyncio.Lock()
        # Faust's generation moves with the assignment only, and a static member may keep it over a rebalance.
        self._epoch = 0
        self._accepting = False

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

    async def consume(self, stream: StreamT[Any]) -> None:
        """Run the stage over a stream until the worker stops."""
        drain = asyncio.create_task(self._drain())
        drain.add_done_callback(self._crash_on_error)
        try:
            async for event in stream.noack().events():  # type: ignore[attr-defined]  # StreamT leaves noack out
                if self._accepting:
                    await self._queue.put((self._epoch, event))
        finally:
            drain.cancel()

    def resume(self) -> None:
        """Take events again: partitions were assigned."""
        self._accepting = True

    async def reset(self) -> None:
        """Let the batch in flight end, then forget everything and take no event until `resume`."""
        self._accepting = False
        self._epoch += 1
        async with self._turn:
            while not self._queue.empty():
                self._queue.get_nowait()
            self.forget()

    async def _drain(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            async with self._turn:
                for partition, events in _by_partition(self._current(batch)):
                    await self.process(partition, events)
            await asyncio.sleep(0)  # numerical work must not starve the consumer's callbacks

    def _current(self, batch: Iterable[tuple[int, EventT[Any]]]) -> list[EventT[Any]]:
        generation = self.app.consumer_generation_id
        return [
            event
            for epoch, event in batch
            if epoch == self._epoch and event.message.generation_id == generation
        ]

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
