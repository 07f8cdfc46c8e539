"""What instrument ids mean, read from the compacted md.instruments.v1 when asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType, TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from topics.connection import admin_client, read_to_end, reader_client
from topics.control import Instrument, decode_control
from topics.envelope import Envelope
from topics.errors import BrokerError, SchemaError
from topics.groups import partitions_of
from topics.specs import topic_names

_LOG: Final = logging.getLogger(__name__)


class InstrumentDirectory:
    """Look up announced instruments. Mutates self: what was read is kept.

    An instrument is announced, and acknowledged, before any of its ticks is sent; so an id that is still
    unknown after reading to the topic's end was never announced.
    """

    def __init__(self, bootstrap: str, *, prefix: str = "") -> None:
        self._bootstrap = bootstrap
        self._topic = topic_names(prefix).instruments
        self._known: dict[int, Instrument] = {}
        self._stack = AsyncExitStack()
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions: list[TopicPartition] = []
        # Several tasks may look up at once; they share one position in the topic.
        self._reading = asyncio.Lock()

    @property
    def known(self) -> Mapping[int, Instrument]:
        """What has been read so far, by id."""
        return MappingProxyType(self._known)

    async def __aenter__(self) -> Self:
        """Connect.

        Raises
        ------
        BrokerUnavailable
            Nobody answers.
        BrokerError
            The instruments topic does not exist.
        """
        async with admin_client(self._bootstrap) as admin:
            self._partitions = await partitions_of(admin, [self._topic])
        consumer = await self._stack.enter_async_context(reader_client(self._bootstrap))
        consumer.assign(self._partitions)
        self._consumer = consumer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer = None
        await self._stack.aclose()

    async def lookup(self, instrument_ids: Iterable[int]) -> dict[int, Instrument]:
        """Return the instruments of some ids, reading on to the topic's end only if one is unknown.

        Returns
        -------
        By id; ids that were never announced are absent.
        """
        ids = [int(number) for number in instrument_ids]
        if any(number not in self._known for number in ids):
            await self.refresh()
        return {number: self._known[number] for number in ids if number in self._known}

    async def refresh(self) -> None:
        """Read on to the topic's end as it is now."""
        async with self._reading:
            if self._consumer is None:
                raise BrokerError("the directory is not connected: use it as `async with`")
            async for record in read_to_end(self._consumer, self._partitions):
                self._take(record.value, record.headers, record.offset)

    def _take(self, value: bytes | None, headers: Iterable[tuple[str, bytes]], offset: int) -> None:
        try:
            instrument = decode_control(value, Envelope.from_headers(headers))
        except SchemaError as error:
            _LOG.warning("%s offset %d is no instrument: %s", self._topic, offset, error)
            return
        if isinstance(instrument, Instrument):
            self._known[instrument.instrument_id] = instrument
