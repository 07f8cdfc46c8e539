"""Reading topics along from their beginning, outside of any consumer group: who follows holds nobody up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from topics.connection import admin_client, read_to_end, reader_client
from topics.groups import partitions_of

__all__ = ["TopicsFollower"]


class TopicsFollower:
    """A reader of several topics that keeps its place in each; a context manager. Mutates self.

    Parameters
    ----------
    bootstrap
        The broker's address.
    topics
        Full names of what is followed.
    """

    def __init__(self, bootstrap: str, topics: Sequence[str]) -> None:
        self._bootstrap = bootstrap
        self._followed = tuple(topics)
        self._stack = AsyncExitStack()
        self._consumer: Any = None
        self._partitions: list[Any] = []

    async def __aenter__(self) -> Self:
        """Connect.

        Raises
        ------
        BrokerUnavailable
            Nobody answers.
        BrokerError
            A topic does not exist.
        """
        async with AsyncExitStack() as stack:
            async with admin_client(self._bootstrap) as admin:
                self._partitions = await partitions_of(admin, list(self._followed))
            self._consumer = await stack.enter_async_context(reader_client(self._bootstrap))
            self._consumer.assign(self._partitions)
            await self._begin()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _begin(self) -> None:
        """Do what has to be done before the follower is handed out; here nothing."""

    async def _arrived(self, timeout_ms: int) -> list[Any]:
        """Return the next records, none if none arrives within the time."""
        fetched = await self._consumer.getmany(timeout_ms=timeout_ms)
        return [record for records in fetched.values() for record in records]

    async def _present(self, topics: Collection[str] | None = None) -> AsyncIterator[Any]:
        """Yield what is unread of some of the topics, up to their ends as they are now; None for all."""
        partitions = [part for part in self._partitions if topics is None or part.topic in topics]
        async for record in read_to_end(self._consumer, partitions):
            yield record
