"""Reading the topics of jobs and statuses along, outside of any group, onto a board."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from cs3g.jobs.board import JobBoard
from topics.connection import admin_client, read_to_end, reader_client
from topics.control import JobRequest, decode_control
from topics.envelope import Envelope
from topics.errors import SchemaError
from topics.groups import partitions_of
from topics.specs import TopicNames

__all__ = ["JobFollower"]

_LOG: Final = logging.getLogger(__name__)


class JobFollower:
    """A board that is kept up to date; a context manager. Mutates self.

    Parameters
    ----------
    bootstrap
        The broker's address.
    topics
        The deployment's topics.
    """

    def __init__(self, bootstrap: str, topics: TopicNames) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._stack = AsyncExitStack()
        self._consumer: Any = None
        self._partitions: list[Any] = []
        self._reading = asyncio.Lock()
        self.board = JobBoard()

    async def __aenter__(self) -> Self:
        """Connect and read what there is.

        Raises
        ------
        BrokerUnavailable
            Nobody answers.
        BrokerError
            A topic does not exist.
        """
        async with AsyncExitStack() as stack:
            async with admin_client(self._bootstrap) as admin:
                names = [self._topics.distill_jobs, self._topics.distill_status]
                self._partitions = await partitions_of(admin, names)
            self._consumer = await stack.enter_async_context(reader_client(self._bootstrap))
            self._consumer.assign(self._partitions)
            await self.catch_up()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def catch_up(self) -> None:
        """Read all that was on the topics when this was called."""
        async with self._reading:
            async for record in read_to_end(self._consumer, self._partitions):
                self._take(record)

    async def poll(self, timeout_ms: int) -> None:
        """Read what is new, waiting for it no longer than so."""
        async with self._reading:
            fetched = await self._consumer.getmany(timeout_ms=timeout_ms)
        for records in fetched.values():
            for record in records:
                self._take(record)

    def _take(self, record: Any) -> None:
        try:
            found = decode_control(record.value, Envelope.from_headers(record.headers))
        except SchemaError as error:
            _LOG.info("%s offset %d is left out: %s", record.topic, record.offset, error)
            return
        # A request bears the event time of the decision that it follows from, in a replay years ago: nobody has let it
        # lie since then. A status bears its writer's clock.
        is_request = isinstance(found, JobRequest)
        age_s = 0.0 if is_request else max(0.0, time.time() - record.timestamp / 1000.0)
        self.board.take(found, time.monotonic() - age_s, record.partition)
