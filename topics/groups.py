"""Consumer groups: how far behind they are, and how to put out a member that died."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotCoordinatorError,
    UnknownMemberIdError,
    for_code,
)
from aiokafka.protocol.group import LeaveGroupRequest

from topics.connection import CONNECT_TIMEOUT_S, admin_client, reader_client
from topics.errors import BrokerError, BrokerUnavailable

_RETRY_S: Final = 0.1
_RETRIES: Final = 50
_TRANSIENT: Final = (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError)


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """Where a group stands on one partition.

    Attributes
    ----------
    committed
        Offset of the next message to consume; the partition's first where the group has committed none.
    end
        Offset of the next message to be produced.
    deleted
        Messages that retention removed before the group consumed them.
    """

    topic: str
    partition: int
    committed: int
    end: int
    deleted: int = 0

    @property
    def lag(self) -> int:
        """Messages not consumed yet."""
        return max(0, self.end - self.committed)


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member of a consumer group, as the broker believes."""

    member_id: str
    client_id: str


async def group_lag(
    bootstrap: str, group_id: str, topics: Iterable[str], *, timeout_s: float = CONNECT_TIMEOUT_S
) -> list[PartitionLag]:
    """Return where a group stands on every partition of some topics.

    Raises
    ------
    BrokerUnavailable
        Nobody answers at `bootstrap`.
    BrokerError
        A topic does not exist.
    """
    async with admin_client(bootstrap, timeout_s) as admin, reader_client(bootstrap, timeout_s) as reader:
        return await lag_of(admin, reader, group_id, await partitions_of(admin, topics))


async def partitions_of(admin: AIOKafkaAdminClient, topics: Iterable[str]) -> list[TopicPartition]:
    """Return every partition of some topics, in order.

    Raises
    ------
    BrokerError
        A topic does not exist.
    """
    wanted = set(topics)
    found = {topic["topic"]: topic for topic in await admin.describe_topics()}
    if missing := wanted - found.keys():
        raise BrokerError(
            f"topics {sorted(missing)} do not exist on the broker; `cs3g topics create` makes them"
        )
    return sorted(
        TopicPartition(name, part["partition"]) for name in wanted for part in found[name]["partitions"]
    )


async def lag_of(
    admin: AIOKafkaAdminClient, reader: AIOKafkaConsumer, group_id: str, partitions: list[TopicPartition]
) -> list[PartitionLag]:
    """Return where a group stands on some partitions, over open connections."""
    coordinator = await _coordinator(admin, group_id)
    committed = await admin.list_consumer_group_offsets(
        group_id, group_coordinator_id=coordinator, partitions=partitions
    )
    first = await reader.beginning_offsets(partitions)
    end = await reader.end_offsets(partitions)
    lags = []
    for key in partitions:
        offset = committed[key].offset if key in committed else -1
        at = max(offset, first[key])
        # A group that has committed nothing was to start at 0 of topics that are made for it.
        deleted = max(0, first[key] - max(offset, 0))
        lags.append(PartitionLag(key.topic, key.partition, at, end[key], deleted))
    return lags


async def group_members(
    bootstrap: str, group_id: str, *, timeout_s: float = CONNECT_TIMEOUT_S
) -> list[GroupMember]:
    """Return a group's members, dead ones included where the broker does not notice.

    Raises
    ------
    BrokerUnavailable
        Nobody answers at `bootstrap`.
    """
    async with admin_client(bootstrap, timeout_s) as admin:
        return await _members(admin, group_id, await _coordinator(admin, group_id))


async def evict_members(
    bootstrap: str, group_id: str, client_id: str, *, timeout_s: float = CONNECT_TIMEOUT_S
) -> list[GroupMember]:
    """Put the members of a client id out of a group, so that its partitions move at once.

    For a process known to be dead: the embedded broker never expires a member by itself. A living member
    that is put out joins again.

    Returns
    -------
    The members put out; none if the group or the client is not there.

    Raises
    ------
    BrokerUnavailable
        Nobody answers at `bootstrap`.
    BrokerError
        The broker refused.
    """
    async with admin_client(bootstrap, timeout_s) as admin:
        coordinator = await _coordinator(admin, group_id)
        members = await _members(admin, group_id, coordinator)
        # Kafka clients append to their client id; Faust's consumer, for one, uses it as it is.
        dead = [member for member in members if member.client_id == client_id]
        for member in dead:
            request = LeaveGroupRequest(group_id, member.member_id)
            response = await admin._client.send(coordinator, request)
            if response.error_code not in (0, UnknownMemberIdError.errno):
                raise BrokerError(
                    f"the broker at {bootstrap!r} refused to put client {client_id!r} out of group"
                    f" {group_id!r}: {for_code(response.error_code).__name__}"
                )
        return dead


async def _members(admin: AIOKafkaAdminClient, group_id: str, coordinator: int) -> list[GroupMember]:
    responses: list[Any] = await admin.describe_consumer_groups([group_id], group_coordinator_id=coordinator)
    return [
        GroupMember(member["member_id"], member["client_id"])
        for response in responses
        for group in response.to_object()["groups"]
        for member in group["members"]
    ]


async def _coordinator(admin: AIOKafkaAdminClient, group_id: str) -> int:
    # A fresh Kafka makes its offsets topic when the first group asks, and says so until it is done.
    for _ in range(_RETRIES):
        try:
            node: int = await admin.find_coordinator(group_id)
        except _TRANSIENT:
            await asyncio.sleep(_RETRY_S)
        else:
            return node
    raise BrokerUnavailable(f"no coordinator for group {group_id!r} after {_RETRIES * _RETRY_S:g} s")
