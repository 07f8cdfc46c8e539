"""Replays into a real broker over TCP, and read back from it."""

from __future__ import annotations

import asyncio
import socket

import numpy as np
import pytest

from replay.config import ReplayConfig
from replay.errors import ResumeMismatch
from replay.kafka_sink import KafkaSink
from replay.runner import run_replay
from replay.sinks import MemorySink
from tests.unit.replay.factories import memory_source, trades
from topics.admin import create_topics
from topics.backlog import BacklogGuard
from topics.connection import admin_client, reader_client
from topics.control import EndOfReplay, Instrument, decode_control
from topics.envelope import Envelope
from topics.errors import BacklogStalled, BrokerError, BrokerUnavailable, TopicMismatch
from topics.groups import partitions_of
from topics.specs import SPECS, replay_prefix, topic_names
from topics.ticks import decode_ticks
from topics.types import NANOS_PER_SECOND as S

pytestmark = pytest.mark.broker

PARTITIONS = 3


def sources(n: int = 80_000):
    rng = np.random.default_rng(7)
    times = np.sort(rng.integers(0, 60 * S, n))
    ids = rng.integers(1, 6, n)
    return [memory_source(trades(times, ids=ids), symbols=tuple("ABCDE"), rows=512)]


def config(run_id: str, **options) -> ReplayConfig:
    return ReplayConfig(**{"run_id": run_id, "partitions": PARTITIONS, "batch_ticks": 500} | options)


async def create(bootstrap: str, run_id: str, partitions: int = PARTITIONS) -> str:
    prefix = replay_prefix(run_id)
    specs = (SPECS["instruments"], SPECS["ticks"])
    await create_topics(bootstrap, specs, prefix=prefix, partitions=partitions)
    return prefix


async def publish(
    bootstrap: str, run_id: str, *, stop_after: int | None = None, resume: bool = False, **options
):
    stop = asyncio.Event()

    def on_progress(progress) -> None:
        if stop_after is not None and progress.stage == "replay" and progress.ticks >= stop_after:
            stop.set()

    sink = KafkaSink(bootstrap, prefix=replay_prefix(run_id), partitions=PARTITIONS, resume=resume)
    async with sink:
        return await run_replay(
            config(run_id, **options), sources(), sink, on_progress=on_progress, stop=stop
        )


async def read_all(bootstrap: str, topic: str) -> dict[int, list]:
    """Return every message of a topic, by partition."""
    async with reader_client(bootstrap) as reader:
        async with admin_client(bootstrap) as admin:
            keys = await partitions_of(admin, [topic])
        ends = await reader.end_offsets(keys)
        reader.assign(keys)
        found: dict[int, list] = {key.partition: [] for key in keys}
        while sum(map(len, found.values())) < sum(ends.values()):
            for key, records in (await reader.getmany(timeout_ms=500)).items():
                found[key.partition].extend(records)
    return found


def values(found: dict[int, list]) -> dict[int, list]:
    return {
        partition: [(r.key, r.value, r.timestamp, tuple(r.headers)) for r in rs]
        for partition, rs in found.items()
    }


async def expected(run_id: str, **options) -> MemorySink:
    sink = MemorySink()
    await run_replay(config(run_id, **options), sources(), sink)
    return sink


async def test_the_topic_holds_what_a_sink_in_memory_holds(bootstrap_servers: str, run_id: str) -> None:
    prefix = await create(bootstrap_servers, run_id)
    report = await publish(bootstrap_servers, run_id)
    memory = await expected(run_id)
    names = topic_names(prefix)
    found = await read_all(bootstrap_servers, names.ticks)
    assert values(found) == {
        partition: [(m.key, m.value, m.timestamp_ms, tuple(m.headers)) for m in messages]
        for partition, messages in memory.messages.items()
    }
    assert report.is_complete
    (announced,) = (await read_all(bootstrap_servers, names.instruments)).values()
    instruments = [decode_control(r.value, Envelope.from_headers(r.headers)) for r in announced]
    assert instruments == memory.instruments
    assert [one.symbol for one in instruments if isinstance(one, Instrument)] == list("ABCDE")


async def test_an_interrupted_replay_resumes_without_gap_or_repetition(
    bootstrap_servers: str, run_id: str
) -> None:
    prefix = await create(bootstrap_servers, run_id)
    first = await publish(bootstrap_servers, run_id, stop_after=1000)
    assert not first.is_complete
    # Another size of messages: what was sent stays, what follows is cut anew.
    second = await publish(bootstrap_servers, run_id, resume=True, batch_ticks=777)
    assert second.is_complete
    assert second.already_sent >= first.ticks
    found = await read_all(bootstrap_servers, topic_names(prefix).ticks)
    memory = await expected(run_id)
    for partition, messages in memory.messages.items():
        whole = b"".join(message.value for message in messages[:-1])
        assert b"".join(record.value for record in found[partition][:-1]) == whole
        seq = 0
        for record in found[partition][:-1]:
            envelope = Envelope.from_headers(record.headers)
            assert envelope.seq == seq
            seq += envelope.count
        end = found[partition][-1]
        assert end.value == messages[-1].value
        assert isinstance(decode_control(end.value, Envelope.from_headers(end.headers)), EndOfReplay)


async def test_a_finished_replay_is_neither_repeated_nor_resumed(bootstrap_servers: str, run_id: str) -> None:
    prefix = await create(bootstrap_servers, run_id)
    await publish(bootstrap_servers, run_id)
    before = values(await read_all(bootstrap_servers, topic_names(prefix).ticks))
    with pytest.raises(ResumeMismatch, match="holds messages already: take a new --run-id"):
        await publish(bootstrap_servers, run_id)
    with pytest.raises(ResumeMismatch, match="is complete: take a new --run-id"):
        await publish(bootstrap_servers, run_id, resume=True)
    assert values(await read_all(bootstrap_servers, topic_names(prefix).ticks)) == before


async def test_other_data_cannot_resume(bootstrap_servers: str, run_id: str) -> None:
    await create(bootstrap_servers, run_id)
    await publish(bootstrap_servers, run_id, stop_after=1000)
    with pytest.raises(ResumeMismatch, match="holds other records"):
        await publish(bootstrap_servers, run_id, resume=True, heartbeat_ns=0)


async def test_wrong_topics_are_refused_before_anything_is_sent(bootstrap_servers: str, run_id: str) -> None:
    with pytest.raises(BrokerError, match=f"replay.{run_id}.md.ticks.v1.* do not exist"):
        await publish(bootstrap_servers, run_id)
    await create(bootstrap_servers, run_id, partitions=2)
    with pytest.raises(TopicMismatch, match="has 2 partitions, the replay 3: replay with --partitions 2"):
        await publish(bootstrap_servers, run_id)


async def test_a_group_that_is_followed_holds_the_replay_back(bootstrap_servers: str, run_id: str) -> None:
    prefix = await create(bootstrap_servers, run_id)
    ticks = topic_names(prefix).ticks
    guard = BacklogGuard(
        bootstrap_servers, f"nobody-{run_id}", [ticks], limit_messages=5, stall_timeout_s=0.2
    )
    async with guard, KafkaSink(bootstrap_servers, prefix=prefix, partitions=PARTITIONS, guard=guard) as sink:
        with pytest.raises(BacklogStalled, match="is a worker running"):
            await run_replay(config(run_id), sources(), sink)
    found = await read_all(bootstrap_servers, ticks)
    assert all(len(records) <= 10 for records in found.values())
    assert any(found.values())


async def test_few_messages_in_flight_change_nothing(bootstrap_servers: str, run_id: str) -> None:
    prefix = await create(bootstrap_servers, run_id)
    sink = KafkaSink(bootstrap_servers, prefix=prefix, partitions=PARTITIONS, max_in_flight=1)
    async with sink:
        await run_replay(config(run_id, limit=400), sources(), sink)
    memory = await expected(run_id, limit=400)
    found = await read_all(bootstrap_servers, topic_names(prefix).ticks)
    assert {p: [r.value for r in rs] for p, rs in found.items()} == {
        p: [m.value for m in ms] for p, ms in memory.messages.items()
    }


async def test_a_broker_that_is_not_there_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BrokerUnavailable, match=address):
            async with KafkaSink(address, prefix="replay.r1.", partitions=1):
                pass


async def test_what_the_topic_holds_can_be_decoded(bootstrap_servers: str, run_id: str) -> None:
    prefix = await create(bootstrap_servers, run_id)
    report = await publish(bootstrap_servers, run_id)
    found = await read_all(bootstrap_servers, topic_names(prefix).ticks)
    counts = []
    for records in found.values():
        runs = [decode_ticks(r.value, Envelope.from_headers(r.headers)).records for r in records[:-1]]
        counts.append(sum(int((run["instrument_id"] != 0).sum()) for run in runs))
    assert tuple(counts) == report.ticks_by_partition
