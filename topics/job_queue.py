"""The topic of jobs as a queue that several workers share: one consumer group, offsets committed by hand.

A message is finished when its offset is committed. Whoever gets the partition of a worker that is gone reads on
from there. A long job costs no membership: the client's heartbeats run beside it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from topics.connection import check_bootstrap, start_client
from topics.control import JobCancel, JobRequest, decode_control
from topics.envelope import Envelope
from topics.errors import BrokerError, SchemaError
from topics.groups import evict_members, group_members
from topics.security import broker_security

__all__ = ["JobQueue", "QueuedJob"]

_LOG: Final = logging.getLogger(__name__)

_DAY_MS: Final = 24 * 3_600_000
_SESSION_MS: Final = 10_000
"""How long a member may be silent. Kafka puts it out then, the embedded broker never does: see `evict_others`."""

_MOST_REJOINS: Final = 5
"""How often in a row the group may fail."""


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A message of the topic of jobs; `record` is None where it is undecodable, and `problem` says why."""

    partition: int
    offset: int
    record: JobRequest | JobCancel | None
    problem: str = ""


class JobQueue:
    """Membership of the group of job workers; a context manager. Mutates self.

    Parameters
    ----------
    bootstrap
        The broker's address.
    topic
        Full name of the topic of jobs.
    group_id
        The workers' group.
    client_id
        Of this process and no other.
    """

    def __init__(self, bootstrap: str, topic: str, *, group_id: str, client_id: str) -> None:
        check_bootstrap(bootstrap)
        self._bootstrap = bootstrap
        self._topic = topic
        self._group_id = group_id
        self._client_id = client_id
        self._pending: dict[int, deque[QueuedJob]] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._rejoins = 0

    async def __aenter__(self) -> Self:
        """Connect and ask to join; the partitions come with later polls.

        Raises
        ------
        BrokerUnavailable
            Nobody answers.
        """
        await self._join()
        return self

    async def _join(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=self._group_id,
            client_id=self._client_id,
            # Static: a member whose generation was refused in a rebalance takes its own place again, where the
            # embedded broker would wait for the former self for ever.
            group_instance_id=self._client_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=_SESSION_MS,
            rebalance_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_SESSION_MS // 10,
            # A worker that trains does not poll: its heartbeats, not its polls, say that it lives.
            max_poll_interval_ms=_DAY_MS,
            **broker_security().client_options(),
        )
        # Without topics: a start with them waits for a group that a dead member may hold up.
        await start_client(consumer, self._bootstrap)
        self._consumer = consumer
        consumer.subscribe([self._topic], listener=_Forget(self._pending))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()
        # A static member does not leave by itself: others would wait for its session to end, for ever on the
        # embedded broker.
        await evict_members(self._bootstrap, self._group_id, self._client_id)

    @property
    def partitions(self) -> frozenset[int]:
        """What the group has given to this member."""
        return frozenset(key.partition for key in self._connected().assignment())

    async def poll(self, timeout_ms: int) -> None:
        """Fetch what is new; it joins `heads` behind what is pending. Joins the group again where that failed.

        Raises
        ------
        BrokerError
            The broker refuses to go on.
        """
        try:
            fetched = await self._connected().getmany(timeout_ms=timeout_ms)
        except KafkaError as error:
            return await self._rejoin(error)
        if self.partitions:
            self._rejoins = 0
        for key, records in fetched.items():
            pending = self._pending.setdefault(key.partition, deque())
            pending.extend(
                _queued(key.partition, record.offset, record.value, record.headers) for record in records
            )

    def heads(self) -> list[QueuedJob]:
        """Return the oldest unfinished message of each partition."""
        return [pending[0] for _, pending in sorted(self._pending.items()) if pending]

    async def finish(self, job: QueuedJob) -> None:
        """Commit behind a message. One whose partition has moved meanwhile is its new owner's to finish."""
        pending = self._pending.get(job.partition)
        if pending and pending[0] is job:
            pending.popleft()
        try:
            await self._connected().commit({TopicPartition(self._topic, job.partition): job.offset + 1})
        except KafkaError as error:
            _LOG.info("offset %d of partition %d is not committed: %r", job.offset, job.partition, error)

    async def evict_others(self) -> list[str]:
        """Put all other members out of the group; those that live join again. Returns the client ids put out.

        Raises
        ------
        BrokerError
            The broker refuses.
        """
        members = await group_members(self._bootstrap, self._group_id)
        others = sorted({member.client_id for member in members} - {self._client_id})
        for client_id in others:
            await evict_members(self._bootstrap, self._group_id, client_id)
        return others

    async def _rejoin(self, error: KafkaError) -> None:
        # A member that joins while others do may be given nothing at all by the embedded broker, not even an empty
        # list, and aiokafka's membership ends with that. Joining again takes the member's own place.
        self._rejoins += 1
        if self._rejoins > _MOST_REJOINS:
            raise BrokerError(
                f"the topic of jobs at {self._bootstrap!r} cannot be read: {error!r}"
            ) from error
        _LOG.warning("joining %s again: %r", self._group_id, error)
        consumer, self._consumer = self._connected(), None
        await consumer.stop()
        self._pending.clear()
        await self._join()

    def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise BrokerError("the queue is not connected: use it as `async with`")
        return self._consumer


class _Forget(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Drops what was fetched when partitions move: the next owner reads it again from the committed offset."""

    def __init__(self, pending: dict[int, deque[QueuedJob]]) -> None:
        self._pending = pending

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._pending.clear()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._pending.clear()


def _queued(partition: int, offset: int, value: bytes | None, headers: Any) -> QueuedJob:
    try:
        record = decode_control(value, Envelope.from_headers(headers))
    except SchemaError as error:
        return QueuedJob(partition, offset, None, str(error))
    if isinstance(record, (JobRequest, JobCancel)):
        return QueuedJob(partition, offset, record)
    return QueuedJob(partition, offset, None, f"a {record.SCHEMA!r} is no job")
