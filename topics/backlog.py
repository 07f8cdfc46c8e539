"""Hold a producer back while a consumer group is behind.

The embedded broker keeps a bounded tail of each partition: whoever sends faster than a group consumes makes
it delete what was not consumed. `BacklogGuard.wait` returns once the group has caught up enough.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from topics.admin import EMBEDDED_RETENTION_BYTES
from topics.connection import admin_client, reader_client
from topics.errors import BacklogLost, BacklogStalled, BrokerError
from topics.groups import PartitionLag, lag_of, partitions_of

DEFAULT_LIMIT_BYTES: Final = EMBEDDED_RETENTION_BYTES // 2
DEFAULT_STALL_S: Final = 60.0
POLL_S: Final = 0.05


class BacklogGuard:
    """Watch what a consumer group has not consumed yet on some topics. Mutates self.

    Parameters
    ----------
    limit_messages
        Unconsumed messages allowed on each partition, for all topics or by topic; None for no such limit.
    limit_bytes
        Unconsumed bytes allowed on each partition of the topics whose messages the caller reports (`sent`),
        by their mean size; None for no such limit.
    stall_timeout_s
        How long a group over its limit may commit nothing.
    clock
        Seconds, monotonic.

    Examples
    --------
    >>> async with BacklogGuard(bootstrap, "cs3g-student", [names.ticks]) as guard:  # doctest: +SKIP
    ...     for message in messages:
    ...         await guard.wait()
    ...         await send(message)
    ...         guard.sent(names.ticks, len(message.value))
    ...     await guard.drained()
    """

    def __init__(
        self,
        bootstrap: str,
        group_id: str,
        topics: Iterable[str],
        *,
        limit_messages: int | Mapping[str, int] | None = None,
        limit_bytes: int | None = DEFAULT_LIMIT_BYTES,
        stall_timeout_s: float = DEFAULT_STALL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bootstrap = bootstrap
        self._group_id = group_id
        self._topics = tuple(topics)
        self._limit_messages = limit_messages
        self._limit_bytes = limit_bytes
        self._stall_timeout_s = stall_timeout_s
        self._clock = clock
        self._stack = AsyncExitStack()
        self._clients: tuple[AIOKafkaAdminClient, AIOKafkaConsumer] | None = None
        self._partitions: list[TopicPartition] = []
        self._deleted_before: dict[TopicPartition, int] = {}
        self._sent_messages: Counter[str] = Counter()
        self._sent_bytes: Counter[str] = Counter()
        self._lags: list[PartitionLag] = []
        self._sent_since_poll: Counter[str] = Counter()
        self._polled_at = float("-inf")

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
            admin = await stack.enter_async_context(admin_client(self._bootstrap))
            reader = await stack.enter_async_context(reader_client(self._bootstrap))
            self._partitions = await partitions_of(admin, self._topics)
            # What is already gone before we start is no loss of ours.
            lags = await lag_of(admin, reader, self._group_id, self._partitions)
            self._deleted_before = {TopicPartition(lag.topic, lag.partition): lag.deleted for lag in lags}
            self._ends_before = _ends(lags)
            self._clients = (admin, reader)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clients = None
        await self._stack.aclose()

    def sent(self, topic: str, n_bytes: int) -> None:
        """Note a message that the caller has produced."""
        self._sent_messages[topic] += 1
        self._sent_bytes[topic] += n_bytes
        self._sent_since_poll[topic] += 1

    async def wait(self) -> None:
        """Return when the group is within the limits on every partition.

        Costs nothing between polls if the caller reports what it sends (`sent`), as long as that cannot have
        crossed a limit.

        Raises
        ------
        BacklogStalled
            The group commits nothing for `stall_timeout_s` while over a limit.
        BacklogLost
            The broker deleted messages that the group had not consumed.
        """
        # Without reports of what is sent, only a poll can tell.
        is_recent = bool(self._sent_messages) and self._clock() - self._polled_at < POLL_S
        if is_recent and self._first_over() is None:
            return
        await self._wait_until(lambda: self._first_over() is None)

    async def drained(self) -> None:
        """Return when the group has consumed everything.

        Raises
        ------
        BacklogStalled
            The group commits nothing for `stall_timeout_s` while something is left.
        BacklogLost
            The broker deleted messages that the group had not consumed.
        """
        await self._wait_until(lambda: all(lag.lag == 0 for lag in self._lags))

    async def lags(self) -> list[PartitionLag]:
        """Return where the group stands now on every partition."""
        await self._poll()
        return list(self._lags)

    async def _wait_until(self, reached: Callable[[], bool]) -> None:
        progress, progressed_at = -1, self._clock()
        while True:
            await self._poll()
            if reached():
                return
            committed = sum(lag.committed for lag in self._lags)
            if committed != progress:
                progress, progressed_at = committed, self._clock()
            elif self._clock() - progressed_at > self._stall_timeout_s:
                behind = max(self._lags, key=lambda lag: lag.lag)
                raise BacklogStalled(
                    f"group {self._group_id!r} has committed nothing for {self._stall_timeout_s:g} s with"
                    f" {behind.lag} messages left on {behind.topic!r} partition {behind.partition};"
                    " is a worker running, and what does its log say?"
                )
            await asyncio.sleep(POLL_S)

    async def _poll(self) -> None:
        if self._clients is None:
            raise BrokerError("the backlog guard is not connected: use it as `async with`")
        self._sent_since_poll.clear()
        self._lags = await lag_of(*self._clients, self._group_id, self._partitions)
        self._unseen = {
            topic: max(0, self._sent_messages[topic] - (end - self._ends_before.get(topic, 0)))
            for topic, end in _ends(self._lags).items()
        }
        self._polled_at = self._clock()
        for lag in self._lags:
            lost = lag.deleted - self._deleted_before[TopicPartition(lag.topic, lag.partition)]
            if lost > 0:
                raise BacklogLost(
                    f"the broker deleted {lost} messages of {lag.topic!r} partition {lag.partition} before"
                    f" group {self._group_id!r} consumed them: lower the limits, or raise the topic's"
                    " retention"
                )

    def _first_over(self) -> PartitionLag | None:
        return next((lag for lag in self._lags if self._is_over(lag)), None)

    def _is_over(self, lag: PartitionLag) -> bool:
        # All that was sent since the poll may have gone to this one partition.
        n_messages = lag.lag + self._unseen.get(lag.topic, 0) + self._sent_since_poll[lag.topic]
        limits = self._limit_messages
        limit = limits.get(lag.topic) if isinstance(limits, Mapping) else limits
        if limit is not None and n_messages > limit:
            return True
        sent = self._sent_messages[lag.topic]
        if self._limit_bytes is None or not sent:
            return False
        return n_messages * self._sent_bytes[lag.topic] > self._limit_bytes * sent


def _ends(lags: Iterable[PartitionLag]) -> dict[str, int]:
    """Return the sum of the end offsets by topic."""
    ends: Counter[str] = Counter()
    for lag in lags:
        ends[lag.topic] += lag.end
    return dict(ends)
