"""What a partition really holds, asked of the broker by a reader of its own."""

from __future__ import annotations

import asyncio

from aiokafka import TopicPartition

from topics.connection import CONNECT_TIMEOUT_S, reader_client
from topics.errors import BrokerError


async def first_offset_from(
    bootstrap: str, topic: str, partition: int, offset: int, *, timeout_s: float = CONNECT_TIMEOUT_S
) -> int:
    """Return the smallest offset >= `offset` at which a partition holds a message.

    Offsets may be missing by retention, compaction, or because they marked a transaction.

    Raises
    ------
    BrokerUnavailable
        Nobody answers.
    BrokerError
        There is no such message yet, or none is delivered in time.
    """
    place = TopicPartition(topic, partition)
    async with reader_client(bootstrap, timeout_s) as consumer:
        consumer.assign([place])
        consumer.seek(place, offset)
        try:
            async with asyncio.timeout(timeout_s):
                record = await consumer.getone(place)
        except TimeoutError as error:
            raise BrokerError(
                f"no message at or after offset {offset} of {topic!r} partition {partition}"
                f" within {timeout_s:g} s"
            ) from error
    found: int = record.offset
    return found
