"""The end of a partition read backwards from a real broker: in order, no more than asked for, and never past a rim."""

from __future__ import annotations

import pytest

from topics.admin import create_topics
from topics.connection import producer_client
from topics.errors import BrokerUnavailable
from topics.specs import replay_prefix, topic_names
from topics.tail import end_offset, read_tail

pytestmark = pytest.mark.broker

N = 150


@pytest.fixture
async def topic(bootstrap_servers: str, broker_kind: str, run_id: str) -> str:
    prefix = replay_prefix(run_id)
    await create_topics(bootstrap_servers, prefix=prefix, partitions=1, embedded=broker_kind == "embedded")
    name = topic_names(prefix).predictions
    async with producer_client(bootstrap_servers) as producer:
        for number in range(N):
            await producer.send(name, b"%d" % number, headers=[("n", b"%d" % number)])
        await producer.flush()
    return name


async def test_only_as_much_is_read_as_is_enough(bootstrap_servers: str, topic: str) -> None:
    assert await end_offset(bootstrap_servers, topic) == N
    records = await read_tail(bootstrap_servers, topic, lambda found: found[0].offset <= N - 40)
    numbers = [record.offset for record in records]
    assert numbers == list(range(numbers[0], N))
    assert 0 < numbers[0] <= N - 40
    assert [record.value for record in records] == [b"%d" % number for number in numbers]
    assert records[-1].headers == (("n", b"149"),)


@pytest.mark.parametrize(
    ("after", "before", "expected"), [(0, None, (0, N)), (20, 61, (20, 61)), (N, None, (N, N))]
)
async def test_what_is_never_enough_ends_at_the_rims(
    bootstrap_servers: str, topic: str, after: int, before: int | None, expected: tuple[int, int]
) -> None:
    records = await read_tail(bootstrap_servers, topic, lambda _: False, after=after, before=before)
    assert [record.offset for record in records] == list(range(*expected))


async def test_a_broker_that_is_not_there_is_named() -> None:
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
        await read_tail("127.0.0.1:1", "any", lambda _: True)
