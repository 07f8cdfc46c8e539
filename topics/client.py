"""Typed predictions for strategies: `async for run in PredictionReader(...)`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError

from topics.connection import CONNECT_TIMEOUT_S, admin_client, check_bootstrap, start_client
from topics.envelope import Envelope
from topics.errors import BrokerError, BrokerUnavailable, LiveTopicRefused, SchemaError
from topics.groups import partitions_of
from topics.predictions_codec import decode_predictions
from topics.reader_core import PredictionGap, PredictionSequence, ReaderCounts
from topics.runs import PredictionRun
from topics.security import broker_security
from topics.specs import MAX_REQUEST_BYTES, is_replay_name, topic_names
from topics.types import Role

_LOG: Final = logging.getLogger(__name__)
_MAX_GAPS: Final = 10_000


class PredictionReader:
    """Read one universe's predictions: each window once, none stale, gaps reported, no replay by mistake.

    Mutates self. Reads without a consumer group, so any number of strategies may run; one that restarts reads
    `from_beginning` with a `max_age_s`, or starts with the next window.

    Parameters
    ----------
    role
        "student" serves; "teacher" runs in its shadow; None for both.
    prefix
        Of the topics; `topics.specs.replay_prefix(run_id)` to read a replay.
    max_age_s
        Drop windows that ended longer ago by `clock`; None keeps all.
    allow_replay
        Deliver predictions that a replay produced. Refused by default: never trade a replay.
    on_gap
        Called with each gap as it is found; `gaps` keeps the last 10,000.
    clock
        ns since the UNIX epoch.

    Examples
    --------
    >>> async with PredictionReader(bootstrap, universe="sp500", max_age_s=5) as reader:  # doctest: +SKIP
    ...     async for run in reader:
    ...         trade(run.symbols, run.scores[-1], run.mask[-1])
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        universe: str,
        role: Role | None = "student",
        prefix: str = "",
        from_beginning: bool = False,
        max_age_s: float | None = None,
        allow_replay: bool = False,
        on_gap: Callable[[PredictionGap], None] | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        if is_replay_name(prefix) and not allow_replay:
            raise LiveTopicRefused(
                f"`prefix` (={prefix!r}) is a replay's: say `allow_replay=True` to read one,"
                " and do not trade it"
            )
        self._bootstrap = bootstrap
        self._topic = topic_names(prefix).predictions
        self._from_beginning = from_beginning
        self._on_gap = on_gap
        self._clock = clock
        self._sequence = PredictionSequence(
            universe=universe, role=role, max_age_s=max_age_s, allow_replay=allow_replay
        )
        self._consumer: AIOKafkaConsumer | None = None
        self.gaps: list[PredictionGap] = []

    @property
    def counts(self) -> ReaderCounts:
        """What was not delivered, and why."""
        return self._sequence.counts

    async def __aenter__(self) -> Self:
        """Connect.

        Raises
        ------
        BrokerUnavailable
            Nobody answers.
        BrokerError
            The predictions topic does not exist.
        """
        check_bootstrap(self._bootstrap)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest" if self._from_beginning else "latest",
            max_partition_fetch_bytes=MAX_REQUEST_BYTES,
            **broker_security().client_options(),
        )
        await start_client(consumer, self._bootstrap)
        try:
            await self._assign(consumer)
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def __aiter__(self) -> AsyncIterator[PredictionRun]:
        """Yield runs of new windows as they come; sits out a broker's outage and goes on after it.

        Raises
        ------
        BrokerUnavailable
            The broker refuses to go on.
        """
        while True:
            run = self._read(await self._next())
            if run is not None:
                yield run

    async def read_available(self) -> list[PredictionRun]:
        """Return what is new up to the topic's end as it is now, without waiting for more.

        Raises
        ------
        BrokerUnavailable
            The broker does not answer.
        """
        consumer = self._connected()
        partitions = list(consumer.assignment())
        try:
            ends = await consumer.end_offsets(partitions)
        except KafkaError as error:
            raise self._unavailable(error) from error
        runs = []
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                run = self._read(await self._next())
                if run is not None:
                    runs.append(run)
        return runs

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        async with admin_client(self._bootstrap) as admin:
            partitions = await partitions_of(admin, [self._topic])
        consumer.assign(partitions)
        # Positions are taken now: what is produced from here on is read, however late the first read is.
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            for partition in partitions:
                await consumer.position(partition)

    def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise BrokerError("the reader is not connected: use it as `async with`")
        return self._consumer

    async def _next(self) -> ConsumerRecord[bytes, bytes]:
        try:
            return await self._connected().getone()
        except KafkaError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: KafkaError) -> BrokerUnavailable:
        return BrokerUnavailable(f"the broker at {self._bootstrap!r} does not go on: {error!r}")

    def _read(self, record: ConsumerRecord[bytes, bytes]) -> PredictionRun | None:
        try:
            envelope = Envelope.from_headers(record.headers)
            if not self._sequence.accepts(envelope):
                return None
            run = decode_predictions(record.value, envelope)
        except SchemaError as error:
            self.counts.undecodable += 1
            _LOG.warning("%s offset %d is no prediction: %s", self._topic, record.offset, error)
            return None
        reading = self._sequence.read(run, self._clock())
        if reading.gap is not None:
            self.gaps.append(reading.gap)
            del self.gaps[:-_MAX_GAPS]
            if self._on_gap is not None:
                self._on_gap(reading.gap)
        return reading.run
