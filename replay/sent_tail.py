"""What an interrupted replay has left in the tick topic: the topic itself is the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from replay.batching import SentTail
from replay.errors import ResumeMismatch
from topics.connection import admin_client, reader_client
from topics.control import EndOfReplay
from topics.envelope import Envelope
from topics.errors import SchemaError, TopicMismatch
from topics.groups import partitions_of
from topics.ticks import decode_ticks

_FETCH_MS: Final = 5000


async def tick_partitions(
    bootstrap: str, ticks: str, instruments: str, partitions: int
) -> list[TopicPartition]:
    """Return the tick topic's partitions, and see that both topics are there as the replay needs them.

    Raises
    ------
    BrokerError
        A topic does not exist.
    TopicMismatch
        The tick topic has another number of partitions.
    """
    async with admin_client(bootstrap) as admin:
        found = await partitions_of(admin, [ticks, instruments])
    keys = [key for key in found if key.topic == ticks]
    if len(keys) != partitions:
        raise TopicMismatch(
            f"topic {ticks!r} has {len(keys)} partitions, the replay {partitions}: replay with"
            f" --partitions {len(keys)}, or under a new --run-id"
        )
    return keys


async def holds_messages(bootstrap: str, keys: Sequence[TopicPartition]) -> bool:
    """Return whether anything was ever sent to some partitions."""
    async with reader_client(bootstrap) as reader:
        ends = await reader.end_offsets(keys)
    return any(ends.values())


async def read_sent(bootstrap: str, keys: Sequence[TopicPartition], run_id: str) -> dict[int, SentTail]:
    """Return each partition's last tick message; partitions without one are absent.

    Raises
    ------
    ResumeMismatch
        Messages of another run, or a replay that is complete.
    """
    found: dict[int, SentTail] = {}
    n_ended = 0
    async with reader_client(bootstrap) as reader:
        ends = await reader.end_offsets(keys)
        for key in keys:
            offset = ends[key] - 1
            last = await _read_at(reader, key, offset)
            if last is not None and Envelope.from_headers(last.headers).schema == EndOfReplay.SCHEMA:
                n_ended += 1
                last = await _read_at(reader, key, offset - 1)
            if last is not None:
                found[key.partition] = _tail(last, run_id)
    if n_ended == len(keys):
        raise ResumeMismatch(f"the replay {run_id!r} in {keys[0].topic!r} is complete: take a new --run-id")
    return found


def _tail(record: ConsumerRecord[bytes, bytes], run_id: str) -> SentTail:
    where = f"{record.topic!r} partition {record.partition} offset {record.offset}"
    try:
        envelope = Envelope.from_headers(record.headers)
        if envelope.run_id != run_id:
            raise ResumeMismatch(
                f"{where} is of run {envelope.run_id!r}, not {run_id!r}: resume with that --run-id"
            )
        return SentTail(envelope.seq, decode_ticks(record.value, envelope).records)
    except SchemaError as error:
        raise ResumeMismatch(
            f"{where} is no tick message of a replay ({error}): take a new --run-id"
        ) from error


async def _read_at(
    reader: AIOKafkaConsumer, key: TopicPartition, offset: int
) -> ConsumerRecord[bytes, bytes] | None:
    if offset < 0:
        return None
    reader.assign([key])
    reader.seek(key, offset)
    fetched = await reader.getmany(key, timeout_ms=_FETCH_MS, max_records=1)
    records = fetched.get(key, [])
    if not records or records[0].offset != offset:
        raise ResumeMismatch(
            f"{key.topic!r} partition {key.partition}: the last message is gone, by retention perhaps:"
            " take a new --run-id"
        )
    return records[0]
