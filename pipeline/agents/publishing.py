"""Sending whole messages from a stage, and waiting until the broker has them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, Final, Protocol

import faust
from faust.types import EventT

from topics.control import DeadLetter
from topics.envelope import Message
from topics.messages import control_message
from topics.types import Mode

MAX_DEAD_LETTER_BYTES: Final = 4 * 1024 * 1024
"""Half of what a topic takes, since JSON carries the payload in base64."""


class Sink(Protocol):
    """A topic that messages are sent to."""

    async def send(
        self,
        *,
        key: bytes | None,
        value: bytes,
        headers: list[tuple[str, bytes]],
        partition: int | None,
        timestamp: float | None,
    ) -> Awaitable[Any]:
        """Hand a message to the producer; what is returned waits until the broker has it, and has its `offset`.

        Parameters
        ----------
        timestamp
            Event time, seconds since the UNIX epoch; None for the producer's clock.
        """


class TopicSink:
    """A topic, by the application's producer.

    Faust's own topic objects do the same, and for every message some things more: futures and sensors of their own.
    """

    def __init__(self, app: faust.App, name: str) -> None:
        self._app = app
        self._name = name

    async def send(
        self,
        *,
        key: bytes | None,
        value: bytes,
        headers: list[tuple[str, bytes]],
        partition: int | None,
        timestamp: float | None,
    ) -> Awaitable[Any]:
        """Hand a message to the producer; see `Sink`."""
        producer = await self._app.maybe_start_producer()
        sent: Awaitable[Any] = await producer.send(self._name, key, value, partition, timestamp, headers)
        return sent


async def publish(sink: Sink, messages: Iterable[Message]) -> list[int]:
    """Send messages in order and return their offsets once the broker has acknowledged all of them."""
    sent = [
        await sink.send(
            key=message.key,
            value=message.value,
            headers=message.headers,
            partition=message.partition,
            timestamp=None if message.timestamp_ms is None else message.timestamp_ms / 1000,
        )
        for message in messages
    ]
    return [metadata.offset for metadata in await asyncio.gather(*sent)]


def dead_letter(
    event: EventT[Any],
    *,
    cause: str,
    detail: str,
    payload: bytes,
    n_records: int,
    schema: str = "",
    mode: Mode = "live",
    run_id: str = "",
) -> Message:
    """Return the dead letter of a message, or of some of its records."""
    message = event.message
    record = DeadLetter(
        cause=cause,
        source_topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        n_records=n_records,
        detail=detail,
        payload=payload[:MAX_DEAD_LETTER_BYTES],
        schema=schema,
    )
    return control_message(record, run_id=run_id, mode=mode, key=message.topic.encode())
