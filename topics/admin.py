"""Create and list the contract's topics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from topics.connection import CONNECT_TIMEOUT_S, admin_client
from topics.errors import BrokerError, TopicMismatch
from topics.specs import KEEP_FOREVER, SPECS, TopicSpec, is_replay_name, topic_names

EMBEDDED_RETENTION_BYTES: Final = 20_000_000
"""What the embedded broker keeps of a partition: it holds all its data in memory."""

EMBEDDED_SEGMENT_BYTES: Final = 5_000_000

_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the broker has it; `created` says whether this call made it."""

    name: str
    partitions: int
    created: bool = False


async def create_topics(
    bootstrap: str,
    specs: Iterable[TopicSpec] = tuple(SPECS.values()),
    *,
    prefix: str = "",
    partitions: int = 4,
    embedded: bool = False,
    replication_factor: int = 1,
    timeout_s: float = CONNECT_TIMEOUT_S,
) -> list[TopicState]:
    """Create the topics that are not there, and check those that are. Idempotent.

    Parameters
    ----------
    partitions
        Of topics whose rule is `ticks`; the others have one.
    embedded
        Bound what each partition keeps, as the embedded broker needs.
    timeout_s
        For the connection, and again for the new topics to have leaders.

    Returns
    -------
    One state for each spec, in order.

    Raises
    ------
    SchemaError
        The prefix would not make topic names.
    BrokerUnavailable
        Nobody answers at `bootstrap`.
    TopicMismatch
        A topic exists with another number of partitions.
    BrokerError
        The broker refused to create a topic.
    """
    topic_names(prefix)  # refuses a malformed prefix
    if partitions < 1:
        raise BrokerError(f"`partitions` (={partitions}) must be >= 1")
    wanted = {prefix + spec.name: (spec, spec.partition_count(partitions)) for spec in specs}
    async with admin_client(bootstrap, timeout_s) as client:
        existing = await _partitions(client)
        _check_partitions(wanted, existing)
        missing = [
            NewTopic(name, count, replication_factor, topic_configs=topic_settings(spec, name, embedded))
            for name, (spec, count) in wanted.items()
            if name not in existing
        ]
        if missing:
            response = await client.create_topics(missing)
            for name, code, *detail in response.topic_errors:
                # Another process that creates the same topics at the same moment is welcome.
                if code not in (0, TopicAlreadyExistsError.errno):
                    reason = (detail[0] if detail else None) or for_code(code).__name__
                    raise BrokerError(
                        f"the broker at {bootstrap!r} refused to create topic {name!r}: {reason}"
                    )
            await _await_topics(client, wanted, bootstrap, timeout_s)
    return [TopicState(name, count, name not in existing) for name, (_, count) in wanted.items()]


async def list_topics(
    bootstrap: str, *, prefix: str = "", timeout_s: float = CONNECT_TIMEOUT_S
) -> list[TopicState]:
    """Return the broker's topics whose name starts with `prefix`, by name; internal ones are left out.

    Raises
    ------
    BrokerUnavailable
        Nobody answers at `bootstrap`.
    """
    async with admin_client(bootstrap, timeout_s) as client:
        found = await _partitions(client)
    return [
        TopicState(name, count)
        for name, count in sorted(found.items())
        if name.startswith(prefix) and not name.startswith("__")
    ]


def topic_settings(spec: TopicSpec, name: str, embedded: bool) -> dict[str, str]:
    """Return the broker settings of a topic of the contract.

    Retention goes by the messages' timestamps, which are event times: a replay's topics keep everything, or
    history would vanish as it arrives.
    """
    settings = {
        "cleanup.policy": spec.cleanup,
        "max.message.bytes": str(spec.max_bytes),
        "retention.ms": str(KEEP_FOREVER if is_replay_name(name) else spec.retention_ms),
    }
    if embedded and spec.cleanup == "delete":
        settings["retention.bytes"] = str(EMBEDDED_RETENTION_BYTES)
        settings["segment.bytes"] = str(EMBEDDED_SEGMENT_BYTES)
    return settings


async def _partitions(client: AIOKafkaAdminClient) -> dict[str, int]:
    # All topics, never by name: asking for a name may create it.
    found = await client.describe_topics()
    return {topic["topic"]: len(topic["partitions"]) for topic in found if not topic["error_code"]}


def _check_partitions(wanted: dict[str, tuple[TopicSpec, int]], existing: dict[str, int]) -> None:
    for name, (_, count) in wanted.items():
        found = existing.get(name)
        if found is not None and found != count:
            raise TopicMismatch(
                f"topic {name!r} has {found} partitions, {count} are asked for: run with {found},"
                " or delete the topic; adding partitions would move instruments between shards"
            )


async def _await_topics(
    client: AIOKafkaAdminClient, wanted: dict[str, tuple[TopicSpec, int]], bootstrap: str, timeout_s: float
) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            while not wanted.keys() <= (await _partitions(client)).keys():
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise BrokerError(f"the new topics at {bootstrap!r} have no leaders after {timeout_s:g} s") from error
    _check_partitions(wanted, await _partitions(client))
