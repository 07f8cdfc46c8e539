"""Which models are announced for a universe and role, read again and again to the topic's end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from topics.connection import admin_client, read_to_end, reader_client
from topics.control import ModelAnnouncement, decode_control
from topics.envelope import Envelope
from topics.errors import BrokerUnavailable, SchemaError
from topics.groups import partitions_of
from topics.specs import topic_names
from topics.types import Role

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Announced:
    """An announcement and where it lies."""

    offset: int
    model: ModelAnnouncement


class AnnouncementReader:
    """Follow the announcements of one universe and role; mutates self.

    Connects when it is first read, and anew after an error, from the topic's beginning: readers must expect what
    they have read before.
    """

    def __init__(self, bootstrap: str, *, universe: str, role: Role, prefix: str = "") -> None:
        self._bootstrap = bootstrap
        self._topic = topic_names(prefix).models
        self._universe = universe
        self._role = role
        self._stack = AsyncExitStack()
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions: list[TopicPartition] = []
        # A timer and a batch may read at once; they share one position in the topic.
        self._reading = asyncio.Lock()

    @property
    def topic(self) -> str:
        """The topic's full name."""
        return self._topic

    async def read(self) -> list[Announced]:
        """Return what was announced since the last reading, up to the topic's end as it is now.

        Raises
        ------
        BrokerUnavailable
            The broker does not answer.
        BrokerError
            The topic does not exist.
        """
        async with self._reading:
            try:
                consumer = self._consumer or await self._connect()
                consumer.resume(*self._partitions)
                found = [
                    self._take(record.value, record.headers, record.offset)
                    async for record in read_to_end(consumer, self._partitions)
                ]
                # Until the next reading nothing is fetched: it would ask up to 1,700 times a second.
                consumer.pause(*self._partitions)
                return [announced for announced in found if announced is not None]
            except KafkaError as error:
                await self._disconnect()
                raise BrokerUnavailable(
                    f"the broker at {self._bootstrap!r} does not go on: {error!r}"
                ) from error
            except BaseException:
                await self._disconnect()
                raise

    async def close(self) -> None:
        """Disconnect; the next reading connects again."""
        async with self._reading:
            await self._disconnect()

    async def _connect(self) -> AIOKafkaConsumer:
        async with admin_client(self._bootstrap) as admin:
            self._partitions = await partitions_of(admin, [self._topic])
        consumer = await self._stack.enter_async_context(reader_client(self._bootstrap))
        consumer.assign(self._partitions)
        self._consumer = consumer
        return consumer

    async def _disconnect(self) -> None:
        self._consumer = None
        await self._stack.aclose()

    def _take(
        self, value: bytes | None, headers: Iterable[tuple[str, bytes]], offset: int
    ) -> Announced | None:
        if value is None:
            return None  # a tombstone of the compacted topic
        try:
            model = decode_control(value, Envelope.from_headers(headers))
        except SchemaError as error:
            _LOG.warning("%s offset %d announces no model: %s", self._topic, offset, error)
            return None
        if not isinstance(model, ModelAnnouncement):
            return None
        return (
            Announced(offset, model) if (model.universe, model.role) == (self._universe, self._role) else None
        )
