"""Membership of the group of job workers, on a broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocol

from topics.admin import create_topics
from topics.errors import BrokerError
from topics.job_queue import JobQueue
from topics.specs import SPECS, replay_prefix, topic_names

pytestmark = pytest.mark.broker


@pytest.fixture
async def queue(bootstrap_servers: str, run_id: str) -> JobQueue:
    prefix = replay_prefix(run_id)
    await create_topics(bootstrap_servers, (SPECS["distill_jobs"],), prefix=prefix, partitions=1)
    topic = topic_names(prefix).distill_jobs
    return JobQueue(bootstrap_servers, topic, group_id=f"{prefix}.jobs", client_id="one")


def give_nothing(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Let so many of the group's assignments arrive as no bytes, which is what the embedded broker may send."""
    given: list[int] = []
    decode = ConsumerProtocol.ASSIGNMENT.decode

    def decode_nothing_at_first(data: Any) -> Any:
        given.append(len(given))
        return decode(b"" if len(given) <= times else data)

    monkeypatch.setattr(ConsumerProtocol.ASSIGNMENT, "decode", decode_nothing_at_first)
    return given


async def join(queue: JobQueue) -> None:
    async with asyncio.timeout(60), queue:
        while not queue.partitions:
            await queue.poll(100)


async def test_a_member_that_was_given_nothing_joins_again(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = give_nothing(monkeypatch, times=2)
    await join(queue)
    assert len(given) == 3


async def test_a_group_that_goes_on_failing_is_told(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    give_nothing(monkeypatch, times=1000)
    with pytest.raises(BrokerError, match="cannot be read"):
        await join(queue)
