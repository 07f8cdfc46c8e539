"""The bridge of one-tick JSON on a real broker: nothing lost, nothing twice, whatever stops it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic

from topics.admin import create_topics
from topics.bridge import Bridge, BridgeCounts
from topics.connection import admin_client, producer_client, read_to_end, reader_client
from topics.envelope import Envelope
from topics.errors import BrokerError
from topics.specs import topic_names
from topics.ticks import decode_ticks

pytestmark = pytest.mark.broker

PARTITIONS, N_TICKS = 2, 3_000
NOW_NS = time.time_ns()
"""Retention goes by event time: older ticks would be deleted under the test."""

TRADE = b'{"schema":"trades","instrument_id":%d,"ts_event":%d,"price":%d.5,"size":%d}'


async def fill(bootstrap: str, source: str, start: int, stop: int) -> None:
    async with producer_client(bootstrap) as producer:
        for number in range(start, stop):
            # Three source partitions into two tick partitions: each feeds both.
            value = TRADE % (number % 7 + 1, NOW_NS + number, number % 90 + 1, number)
            await producer.send(source, value, partition=number % 3)
        await producer.flush()


async def sent_ticks(bootstrap: str, prefix: str) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    topic = topic_names(prefix).ticks
    async with reader_client(bootstrap) as consumer:
        parts = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(parts)
        async for record in read_to_end(consumer, parts):
            run = decode_ticks(record.value, Envelope.from_headers(record.headers))
            assert (run.records["instrument_id"] % PARTITIONS == record.partition).all()
            found.setdefault(record.partition, []).extend(run.records["size"].tolist())
    return found


async def make(bootstrap: str, prefix: str) -> str:
    source = prefix + "json"
    await create_topics(bootstrap, prefix=prefix, partitions=PARTITIONS)
    async with admin_client(bootstrap) as admin:
        await admin.create_topics([NewTopic(source, 3, 1)])
    return source


async def test_a_bridge_that_is_stopped_anywhere_loses_and_doubles_nothing(
    bootstrap_servers: str, run_id: str
) -> None:
    prefix = f"{run_id}."
    source = await make(bootstrap_servers, prefix)
    await fill(bootstrap_servers, source, 0, N_TICKS)

    def bridge() -> Bridge:
        return Bridge(bootstrap_servers, source, prefix=prefix, batch_ticks=100, linger_s=0)

    def after(polls: int) -> Callable[[BridgeCounts], bool]:
        left = iter(range(polls))
        return lambda counts: next(left, None) is None

    # Cut off while messages are under way: what was acknowledged is known by the topic alone.
    for polls in (1, 2):
        await bridge().run(until=after(polls))
    half = bridge()
    running = asyncio.create_task(half.run())
    while not half.counts.messages and not half.counts.known:
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    async def finish(wanted: int) -> None:
        running = asyncio.create_task(bridge().run())
        try:
            async with asyncio.timeout(60):
                while sum(map(len, (await sent_ticks(bootstrap_servers, prefix)).values())) < wanted:
                    assert not running.done()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    await finish(N_TICKS)
    await fill(bootstrap_servers, source, N_TICKS, N_TICKS + 500)
    await finish(N_TICKS + 500)
    found = await sent_ticks(bootstrap_servers, prefix)
    assert sorted(number for sizes in found.values() for number in sizes) == list(range(N_TICKS + 500))
    for partition, sizes in found.items():
        for feed in range(3):  # a source partition's order stays
            of_feed = [number for number in sizes if number % 3 == feed]
            assert of_feed == sorted(of_feed), partition


async def test_what_is_no_tick_becomes_a_dead_letter(bootstrap_servers: str, run_id: str) -> None:
    prefix = f"{run_id}."
    source = await make(bootstrap_servers, prefix)
    async with producer_client(bootstrap_servers) as producer:
        for value in (TRADE % (1, NOW_NS, 1, 1), b"no tick", TRADE % (2, NOW_NS, 1, 2)):
            await producer.send_and_wait(source, value, partition=0)
    counts = await Bridge(bootstrap_servers, source, prefix=prefix, linger_s=0).run(
        until=lambda counts: counts.read == 3
    )
    assert (counts.ticks, counts.refused) == (2, 1)
    assert await sent_ticks(bootstrap_servers, prefix) == {1: [1], 0: [2]}


async def test_a_topic_that_others_write_to_is_refused(bootstrap_servers: str, run_id: str) -> None:
    prefix = f"{run_id}."
    source = await make(bootstrap_servers, prefix)
    async with producer_client(bootstrap_servers) as producer:
        await producer.send_and_wait(topic_names(prefix).ticks, b"x", partition=0)
    with pytest.raises(BrokerError, match="not a bridge's"):
        await Bridge(bootstrap_servers, source, prefix=prefix).run(until=lambda counts: True)
