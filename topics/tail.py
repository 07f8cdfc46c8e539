"""Read the end of a partition backwards: as much as is needed, and no more than a few times that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from topics.connection import reader_client
from topics.errors import BrokerError

READ_TIMEOUT_S: Final = 30.0
_FIRST_STEP: Final = 16
_FETCH_MS: Final = 200


@dataclass(frozen=True, slots=True)
class Record:
    """One message as it lies on its partition."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


async def read_tail(
    bootstrap: str,
    topic: str,
    is_enough: Callable[[Sequence[Record]], bool],
    *,
    partition: int = 0,
    after: int = 0,
    before: int | None = None,
    first_step: int = _FIRST_STEP,
    timeout_s: float = READ_TIMEOUT_S,
) -> list[Record]:
    """Return the last messages of a partition, in their order.

    Parameters
    ----------
    is_enough
        Asked with ever more of the end; once it holds, no more is read.
    after, before
        Offsets from which, and before which, to read; None for the end as it is now.
    first_step
        How many messages to read at first; four times as many each time that these are not enough.
    timeout_s
        For all of it.

    Returns
    -------
    Everything that there is, if it is never enough.

    Raises
    ------
    BrokerUnavailable
        Nobody answers.
    BrokerError
        The messages are not delivered in time.
    """
    place = TopicPartition(topic, partition)
    found: list[Record] = []
    async with reader_client(bootstrap) as consumer:
        consumer.assign([place])
        try:
            async with asyncio.timeout(timeout_s):
                first = max(after, (await consumer.beginning_offsets([place]))[place])
                end = (await consumer.end_offsets([place]))[place]
                stop = end if before is None else min(before, end)
                step = first_step
                while stop > first:
                    start = max(first, stop - step)
                    found = [*await _between(consumer, place, start, stop), *found]
                    if is_enough(found):
                        break
                    stop, step = start, step * 4
        except TimeoutError as error:
            raise BrokerError(
                f"the end of {topic!r} partition {partition} is not delivered within {timeout_s:g} s"
            ) from error
    return found


async def end_offset(bootstrap: str, topic: str, *, partition: int = 0) -> int:
    """Return the offset that the next message of a partition will have.

    Raises
    ------
    BrokerUnavailable
        Nobody answers.
    """
    place = TopicPartition(topic, partition)
    async with reader_client(bootstrap) as consumer:
        end: int = (await consumer.end_offsets([place]))[place]
    return end


async def _between(consumer: AIOKafkaConsumer, place: Any, start: int, stop: int) -> list[Record]:
    consumer.seek(place, start)
    found: list[Record] = []
    while await consumer.position(place) < stop:
        for records in (await consumer.getmany(place, timeout_ms=_FETCH_MS)).values():
            found += [
                Record(record.offset, record.key, record.value, record.headers)
                for record in records
                if record.offset < stop
            ]
    return found
