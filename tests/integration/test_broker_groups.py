"""Consumer groups on a real broker: lag, the backlog guard, and members that died."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import OffsetAndMetadata

from tests.integration.broker_topics import make_topics, send
from topics.admin import EMBEDDED_RETENTION_BYTES
from topics.backlog import DEFAULT_LIMIT_BYTES, BacklogGuard
from topics.connection import admin_client, producer_client
from topics.envelope import Message
from topics.errors import BacklogLost, BacklogStalled, BrokerError
from topics.groups import evict_members, group_lag, group_members

pytestmark = pytest.mark.broker


def messages(n: int, partition: int = 0) -> list[Message]:
    return [Message(b"k", b"x" * 100, [], partition=partition) for _ in range(n)]


async def commit(bootstrap: str, group_id: str, topic: str, offset: int, partition: int = 0) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group_id, enable_auto_commit=False)
    await consumer.start()
    try:
        key = TopicPartition(topic, partition)
        consumer.assign([key])
        await consumer.commit({key: OffsetAndMetadata(offset, "")})
    finally:
        await consumer.stop()


async def test_lag_counts_what_a_group_has_not_committed(bootstrap_servers: str, run_id: str) -> None:
    names = await make_topics(bootstrap_servers, run_id, partitions=2)
    await send(bootstrap_servers, names.ticks, [*messages(5), *messages(3, partition=1)])
    before = await group_lag(bootstrap_servers, run_id, [names.ticks])
    assert [(lag.partition, lag.committed, lag.end, lag.lag) for lag in before] == [
        (0, 0, 5, 5),
        (1, 0, 3, 3),
    ]
    await commit(bootstrap_servers, run_id, names.ticks, 4)
    after = await group_lag(bootstrap_servers, run_id, [names.ticks, names.windows])
    assert [(lag.topic, lag.lag) for lag in after] == [(names.windows, 0), (names.ticks, 1), (names.ticks, 3)]


async def test_a_topic_that_does_not_exist_is_named(bootstrap_servers: str, run_id: str) -> None:
    with pytest.raises(BrokerError, match="no-such-topic"):
        await group_lag(bootstrap_servers, run_id, ["no-such-topic"])


async def test_the_guard_holds_a_producer_until_the_group_caught_up(
    bootstrap_servers: str, run_id: str
) -> None:
    names = await make_topics(bootstrap_servers, run_id, partitions=2)
    async with BacklogGuard(bootstrap_servers, run_id, [names.ticks], limit_messages=5) as guard:
        await send(bootstrap_servers, names.ticks, messages(5))
        await guard.wait()
        await send(bootstrap_servers, names.ticks, messages(4))
        waiting = asyncio.create_task(guard.wait())
        done, _ = await asyncio.wait({waiting}, timeout=0.5)
        assert not done
        await commit(bootstrap_servers, run_id, names.ticks, 4)
        async with asyncio.timeout(10):
            await waiting
        assert [lag.lag for lag in await guard.lags()] == [5, 0]

        draining = asyncio.create_task(guard.drained())
        done, _ = await asyncio.wait({draining}, timeout=0.3)
        assert not done
        await commit(bootstrap_servers, run_id, names.ticks, 9)
        async with asyncio.timeout(10):
            await draining


async def test_the_guard_limits_bytes_by_the_mean_of_what_was_sent(
    bootstrap_servers: str, run_id: str
) -> None:
    names = await make_topics(bootstrap_servers, run_id, partitions=1)
    async with BacklogGuard(bootstrap_servers, run_id, [names.ticks], limit_bytes=450) as guard:
        await send(bootstrap_servers, names.ticks, messages(4))
        for message in messages(4):
            guard.sent(names.ticks, len(message.value))
        async with asyncio.timeout(10):
            await guard.wait()
        # A fifth message is over the limit even before any poll could see it.
        guard.sent(names.ticks, 100)
        await send(bootstrap_servers, names.ticks, messages(1))
        waiting = asyncio.create_task(guard.wait())
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done
        await commit(bootstrap_servers, run_id, names.ticks, 1)
        async with asyncio.timeout(10):
            await waiting


async def test_a_group_without_progress_is_reported(bootstrap_servers: str, run_id: str) -> None:
    names = await make_topics(bootstrap_servers, run_id, partitions=1)
    await send(bootstrap_servers, names.ticks, messages(3))
    ticking = itertools.count(0, 20)
    guard = BacklogGuard(
        bootstrap_servers,
        run_id,
        [names.ticks],
        limit_messages=1,
        stall_timeout_s=60,
        clock=lambda: next(ticking),
    )
    async with guard:
        with pytest.raises(
            BacklogStalled, match=f"'{run_id}' has committed nothing for 60 s with 3 messages left"
        ):
            await guard.wait()


async def test_messages_deleted_before_they_were_consumed_are_a_loss(
    bootstrap_servers: str, run_id: str
) -> None:
    names = await make_topics(bootstrap_servers, run_id, partitions=1)
    await send(bootstrap_servers, names.ticks, messages(6))
    await commit(bootstrap_servers, run_id, names.ticks, 2)
    async with BacklogGuard(bootstrap_servers, run_id, [names.ticks], limit_messages=100) as guard:
        async with admin_client(bootstrap_servers) as admin:
            await admin.delete_records({TopicPartition(names.ticks, 0): RecordsToDelete(before_offset=5)})
        with pytest.raises(BacklogLost, match="deleted 3 messages"):
            await guard.drained()
    # Whoever starts to watch afterwards is not blamed for it.
    async with BacklogGuard(bootstrap_servers, run_id, [names.ticks], limit_messages=100) as guard:
        await guard.wait()


async def test_a_guard_needs_its_topics_and_its_context(bootstrap_servers: str, run_id: str) -> None:
    guard = BacklogGuard(bootstrap_servers, run_id, ["no-such-topic"])
    with pytest.raises(BrokerError, match="no-such-topic"):
        async with guard:
            pass
    with pytest.raises(BrokerError, match="async with"):
        await guard.drained()


MEMBER = """
import asyncio, sys
from aiokafka import AIOKafkaConsumer

async def main():
    bootstrap, topic, group, static_id = sys.argv[1:]
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        client_id="dead",
        group_instance_id=static_id or None,
        session_timeout_ms=300_000,
    )
    await consumer.start()
    while not consumer.assignment():
        await consumer.getmany(timeout_ms=100)
    print("joined", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("static_id", ["", "dead-static"])
async def test_a_killed_members_partitions_move_once_it_is_evicted(
    bootstrap_servers: str, run_id: str, static_id: str
) -> None:
    names = await make_topics(bootstrap_servers, run_id, partitions=4)
    arguments = [sys.executable, "-c", MEMBER, bootstrap_servers, names.ticks, run_id, static_id]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as dead:
        assert dead.stdout is not None
        assert dead.stdout.readline() == "joined\n"
        dead.send_signal(signal.SIGKILL)
    # The broker believes in it still: its session would last for five minutes.
    assert [member.client_id for member in await group_members(bootstrap_servers, run_id)] == ["dead"]
    assert await evict_members(bootstrap_servers, run_id, "somebody else") == []
    evicted = await evict_members(bootstrap_servers, run_id, "dead")
    assert [member.client_id for member in evicted] == ["dead"]
    heir = AIOKafkaConsumer(
        names.ticks, bootstrap_servers=bootstrap_servers, group_id=run_id, client_id="heir"
    )
    await heir.start()
    try:
        async with asyncio.timeout(20):
            while len(heir.assignment()) < 4:
                await heir.getmany(timeout_ms=50)
        assert [member.client_id for member in await group_members(bootstrap_servers, run_id)] == ["heir"]
    finally:
        await heir.stop()


async def test_the_guard_keeps_a_late_consumer_from_losing_to_retention(
    bootstrap_servers: str, run_id: str
) -> None:
    """Three times what the embedded broker keeps goes through it, and every message arrives."""
    names = await make_topics(bootstrap_servers, run_id, partitions=1)
    n_messages, size = 600, 100_000
    assert n_messages * size == 3 * EMBEDDED_RETENTION_BYTES
    sent = 0

    async def produce() -> None:
        nonlocal sent
        async with (
            BacklogGuard(bootstrap_servers, run_id, [names.ticks]) as guard,
            producer_client(bootstrap_servers) as producer,
        ):
            for sent in range(n_messages):
                await guard.wait()
                await producer.send_and_wait(names.ticks, bytes(size - 8) + sent.to_bytes(8, "big"))
                guard.sent(names.ticks, size)
            await guard.drained()

    producing = asyncio.create_task(produce())
    # Nobody consumes until the producer stands still: without the guard it would send everything first, and
    # the broker would keep a third of it.
    before = -1
    while before != sent or not sent:
        before = sent
        await asyncio.wait({producing}, timeout=1.0)
    assert (
        sent == DEFAULT_LIMIT_BYTES // size + 1
    )  # the one that crossed the limit is out, the next one waits

    consumer = AIOKafkaConsumer(
        names.ticks,
        bootstrap_servers=bootstrap_servers,
        group_id=run_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    numbers: list[int] = []
    try:
        async with asyncio.timeout(60):
            while len(numbers) < n_messages:
                for records in (await consumer.getmany(timeout_ms=100, max_records=50)).values():
                    numbers.extend(int.from_bytes(record.value[-8:], "big") for record in records)
                    await consumer.commit()
            await producing
    finally:
        producing.cancel()
        await consumer.stop()
    assert numbers == list(range(n_messages))
