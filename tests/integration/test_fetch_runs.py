"""What a fetch brought reaches a stage as runs: whole, in order, and committed past offsets that hold no message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaProducer
from faust.types import EventT

from pipeline.agents.stage import Stage
from pipeline.agents.transport import install_transport
from tests.integration.broker_topics import make_topics, send
from topics.envelope import Message
from topics.groups import group_lag

pytestmark = pytest.mark.broker

N_MESSAGES = 300
DEADLINE_S = 30.0


class Recorder(Stage):
    """Notes what it is given, and acknowledges it where it may."""

    def __init__(self, app: faust.App, topic: str) -> None:
        self._source = topic
        super().__init__(app, self)
        self.batches: list[dict[int, list[bytes]]] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    @property
    def topic(self) -> str:
        return self._source

    async def committed(self) -> dict[int, int]:
        return dict.fromkeys(range(4), 0)

    async def unread(self) -> set[int]:
        return set()

    async def first_from(self, partition: int, offset: int) -> int:
        return offset if offset < 2 else max(offset, 4)  # the marks of two transactions lie between

    def forget(self) -> None:
        """Keep what was noted: the test looks at all of it."""

    async def checkpoint_if_due(self) -> None:
        """Keep none."""

    async def process(self, partition: int, events: list[EventT[Any]]) -> None:
        raise AssertionError("a batch is processed whole")

    async def process_all(self, by_partition: dict[int, list[EventT[Any]]]) -> None:
        await self.may_go_on.wait()
        self.batches.append(
            {p: [event.message.value or b"" for event in run] for p, run in by_partition.items()}
        )
        for run in by_partition.values():
            for event in run:
                event.ack()

    def values(self, partition: int) -> list[bytes]:
        return [value for batch in self.batches for value in batch.get(partition, [])]


@asynccontextmanager
async def running(bootstrap: str, topic: str, group: str, folder: Path) -> AsyncIterator[Recorder]:
    """Run an application with one recording stage until the context ends."""
    app = faust.App(
        group,
        broker=f"kafka://{bootstrap}",
        store="memory://",
        datadir=str(folder),
        topic_disable_leader=True,
        topic_partitions=4,
        web_enabled=False,
        stream_wait_empty=False,
        broker_commit_interval=0.1,
        consumer_auto_offset_reset="earliest",
    )
    install_transport(app, is_live=True)
    stage = Recorder(app, topic)
    source = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def agent(stream: Any) -> None:
        await stage.consume(stream)

    app.agent(source, name="recorder")(agent)
    starting = asyncio.create_task(app.start())
    try:
        yield stage
    finally:
        await app.stop()
        await asyncio.gather(starting, return_exceptions=True)


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not (await condition() if asyncio.iscoroutinefunction(condition) else condition()):
            await asyncio.sleep(0.02)


async def test_messages_come_in_runs_of_all_partitions_and_are_committed(
    bootstrap_servers: str, run_id: str, tmp_path: Path
) -> None:
    names = await make_topics(bootstrap_servers, run_id)
    sent = {p: [b"%d/%d" % (p, number) for number in range(N_MESSAGES)] for p in range(4)}
    for partition, values in sent.items():
        await send(bootstrap_servers, names.ticks, [Message(b"", v, [], partition=partition) for v in values])
    async with running(bootstrap_servers, names.ticks, f"{run_id}-runs", tmp_path) as stage:

        async def is_committed() -> bool:
            lags = await group_lag(bootstrap_servers, f"{run_id}-runs", [names.ticks])
            return all(lag.committed == N_MESSAGES for lag in lags)

        await eventually(is_committed)
        assert {p: stage.values(p) for p in range(4)} == sent
        # Far fewer batches than messages, and no partition waits for the end of another.
        assert len(stage.batches) < 4 * N_MESSAGES / 8
        assert max(len(batch) for batch in stage.batches) == 4


async def test_commits_pass_offsets_that_hold_no_message(
    bootstrap_servers: str, run_id: str, tmp_path: Path
) -> None:
    names = await make_topics(bootstrap_servers, run_id)
    async with (
        AIOKafkaProducer(bootstrap_servers=bootstrap_servers, transactional_id=f"{run_id}-a") as one,
        AIOKafkaProducer(bootstrap_servers=bootstrap_servers, transactional_id=f"{run_id}-b") as other,
    ):
        async with one.transaction():
            await one.send_and_wait(names.ticks, b"0", partition=0)
            async with other.transaction():
                await other.send_and_wait(names.ticks, b"1", partition=0)
        async with one.transaction():  # behind the marks that ended the two, at 2 and 3
            await one.send_and_wait(names.ticks, b"4", partition=0)
    async with running(bootstrap_servers, names.ticks, f"{run_id}-gaps", tmp_path) as stage:

        async def is_committed() -> bool:
            lags = await group_lag(bootstrap_servers, f"{run_id}-gaps", [names.ticks])
            return lags[0].committed == 5

        await eventually(is_committed)
        assert stage.values(0) == [b"0", b"1", b"4"]


async def test_no_more_is_asked_for_while_a_stage_is_full(
    bootstrap_servers: str, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.agents.stage.MAX_QUEUED_MESSAGES", 40)
    names = await make_topics(bootstrap_servers, run_id)
    sent = [b"%d" % number for number in range(N_MESSAGES)]
    async with running(bootstrap_servers, names.ticks, f"{run_id}-full", tmp_path) as stage:
        stage.may_go_on.clear()
        await send(bootstrap_servers, names.ticks, [Message(b"", v, [], partition=0) for v in sent])
        await eventually(lambda: stage._n_waiting >= 40)
        stage.may_go_on.set()
        await eventually(lambda: len(stage.values(0)) == N_MESSAGES)
        assert stage.values(0) == sent
