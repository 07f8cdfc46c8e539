"""Reading the topics of jobs and statuses along, outside of any group, onto a board."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final

from cs3g.following import TopicsFollower
from cs3g.jobs.board import JobBoard
from topics.control import JobRequest, decode_control
from topics.envelope import Envelope
from topics.errors import SchemaError
from topics.specs import TopicNames

__all__ = ["JobFollower"]

_LOG: Final = logging.getLogger(__name__)


class JobFollower(TopicsFollower):
    """A board that is kept up to date, from its first moment on; a context manager. Mutates self.

    Parameters
    ----------
    bootstrap
        The broker's address.
    topics
        The deployment's topics.
    """

    def __init__(self, bootstrap: str, topics: TopicNames) -> None:
        super().__init__(bootstrap, [topics.distill_jobs, topics.distill_status])
        self._reading = asyncio.Lock()
        self.board = JobBoard()

    async def catch_up(self) -> None:
        """Read all that was on the topics when this was called."""
        async with self._reading:
            async for record in self._present():
                self._take(record)

    async def poll(self, timeout_ms: int) -> None:
        """Read what is new, waiting for it no longer than so."""
        async with self._reading:
            records = await self._arrived(timeout_ms)
        for record in records:
            self._take(record)

    async def _begin(self) -> None:
        await self.catch_up()

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
