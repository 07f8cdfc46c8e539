"""Topics of a test's own on the session's broker, and sending to them."""

from __future__ import annotations

from collections.abc import Iterable

from topics.admin import create_topics
from topics.connection import producer_client
from topics.envelope import Message
from topics.specs import TopicNames, replay_prefix, topic_names


async def make_topics(
    bootstrap: str, run_id: str, *, partitions: int = 4, embedded: bool = True
) -> TopicNames:
    prefix = replay_prefix(run_id)
    await create_topics(bootstrap, prefix=prefix, partitions=partitions, embedded=embedded, timeout_s=30)
    return topic_names(prefix)


async def send(bootstrap: str, topic: str, messages: Iterable[Message]) -> None:
    async with producer_client(bootstrap) as producer:
        futures = [
            await producer.send(
                topic,
                value=message.value,
                key=message.key,
                partition=message.partition,
                timestamp_ms=message.timestamp_ms,
                headers=message.headers,
            )
            for message in messages
        ]
        for future in futures:
            await future
