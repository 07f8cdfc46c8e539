"""A paced consumer against a real broker: few questions while nothing comes, and every message that comes."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.protocol.fetch import FetchRequest

from topics.admin import create_topics
from topics.connection import producer_client, reader_client
from topics.specs import replay_prefix, topic_names

pytestmark = pytest.mark.broker


async def test_a_waiting_reader_asks_seldom_and_gets_what_comes(
    bootstrap_servers: str, broker_kind: str, run_id: str
) -> None:
    prefix = replay_prefix(run_id)
    await create_topics(bootstrap_servers, prefix=prefix, partitions=1, embedded=broker_kind == "embedded")
    partition = TopicPartition(topic_names(prefix).graphs, 0)
    async with (
        producer_client(bootstrap_servers) as producer,
        reader_client(bootstrap_servers, rest_s=0.02) as reader,
    ):
        n_fetches = 0
        send = reader._client.send

        async def counted(node_id: int, request: Any, **options: Any) -> Any:
            nonlocal n_fetches
            n_fetches += isinstance(request, FetchRequest)
            return await send(node_id, request, **options)

        reader._client.send = counted
        reader.assign([partition])
        await reader.seek_to_beginning(partition)
        assert await reader.getmany(timeout_ms=500) == {}
        # Unpaced, the embedded broker is asked some hundreds of times meanwhile, even on a busy machine.
        assert 1 <= n_fetches <= 60
        for value in (b"one", b"two"):
            await producer.send_and_wait(partition.topic, value, partition=0)
        values: list[Any] = []
        while len(values) < 2:
            for records in (await reader.getmany(timeout_ms=1000)).values():
                values += [record.value for record in records]
    assert values == [b"one", b"two"]
