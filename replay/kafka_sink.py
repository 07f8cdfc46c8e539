"""Publish a replay to Kafka: instruments first, ticks in order within each partition, ends last.

Idempotent production keeps the order over retries; what is in flight is bounded by messages and bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Protocol, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from replay.batching import SentTail, TickBatch
from replay.errors import ResumeMismatch, SinkError
from replay.sent_tail import holds_messages, read_sent, tick_partitions
from replay.sinks import end_message
from topics.admin import create_topics
from topics.compression import fast_zstd
from topics.connection import check_bootstrap, start_client
from topics.control import EndOfReplay, Instrument
from topics.envelope import Message
from topics.errors import LiveTopicRefused
from topics.messages import control_message
from topics.security import broker_security
from topics.specs import MAX_REQUEST_BYTES, SPECS, is_replay_name, topic_names

MAX_IN_FLIGHT_MESSAGES: Final = 512
MAX_IN_FLIGHT_BYTES: Final = 32 * 1024 * 1024
_LINGER_MS: Final = 5
_BATCH_BYTES: Final = 256 * 1024


class Guard(Protocol):
    """Holds a producer back while a consumer group is behind (`topics.backlog.BacklogGuard`)."""

    def sent(self, topic: str, n_bytes: int) -> None:
        """Note a message that was produced."""

    async def wait(self) -> None:
        """Return when the group has caught up enough."""


class KafkaSink:
    """Publishes to the tick and instrument topics of a prefix; use it as `async with`. Mutates self.

    Parameters
    ----------
    bootstrap
        host:port, or several with commas between.
    prefix
        `topics.specs.replay_prefix(run_id)`.
    allow_live, confirm_live_topic
        Both are needed to write outside `replay.`: that it is meant, and the tick topic's full name.
    create_missing
        Make the two topics when the replay starts, after its input was checked; never live ones.
    resume
        Continue behind what an interrupted replay of the same run id has left in the topic.
    guard
        Connected backlog guard of the group to follow.
    idempotent
        Off only for brokers without idempotent producers.

    Raises
    ------
    LiveTopicRefused
        The prefix is not a replay's, and it is not said twice that it is meant.
    """

    publishes = True

    def __init__(
        self,
        bootstrap: str,
        *,
        prefix: str,
        partitions: int,
        allow_live: bool = False,
        confirm_live_topic: str | None = None,
        create_missing: bool = False,
        resume: bool = False,
        guard: Guard | None = None,
        idempotent: bool = True,
        max_in_flight: int = MAX_IN_FLIGHT_MESSAGES,
    ) -> None:
        check_bootstrap(bootstrap)
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._topics = topic_names(prefix)
        self._is_live = not is_replay_name(prefix)
        if self._is_live and not (allow_live and confirm_live_topic == self._topics.ticks):
            raise LiveTopicRefused(
                f"a replay may not write to the live topic {self._topics.ticks!r}; if it is meant, say so"
                f" twice: --i-know-this-is-live --confirm-live-topic {self._topics.ticks}"
            )
        self._partitions = partitions
        self._create_missing = create_missing and not self._is_live
        self._resume = resume
        self._guard = guard
        self._idempotent = idempotent
        self._max_in_flight = max_in_flight
        self._producer: AIOKafkaProducer | None = None
        self._in_flight: deque[tuple[asyncio.Future[Any], int, str]] = deque()
        self._in_flight_bytes = 0

    async def __aenter__(self) -> Self:
        """Connect.

        Raises
        ------
        BrokerUnavailable
            Nobody answers.
        """
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=self._idempotent,
            linger_ms=_LINGER_MS,
            max_batch_size=_BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
            compression_type=fast_zstd(),
            **broker_security().client_options(),
        )
        await start_client(producer, self._bootstrap)
        self._producer = producer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()
        for future, _, _ in self._in_flight:
            # Whoever closes with messages in flight has an error of its own; theirs would only be logged.
            future.cancel()

    async def start(self, instruments: Sequence[Instrument], run_id: str) -> Mapping[int, SentTail]:
        """Announce the instruments, and wait until they are acknowledged.

        Raises
        ------
        ResumeMismatch
            The tick topic holds messages and this is no resumption, or the resumed replay is complete.
        BrokerError
            A topic does not exist, or has another number of partitions.
        SinkError
            The broker refuses.
        """
        names = self._topics
        if self._create_missing:
            specs = (SPECS["instruments"], SPECS["ticks"])
            await create_topics(self._bootstrap, specs, prefix=self._prefix, partitions=self._partitions)
        keys = await tick_partitions(self._bootstrap, names.ticks, names.instruments, self._partitions)
        sent: Mapping[int, SentTail] = {}
        if self._resume:
            sent = await read_sent(self._bootstrap, keys, run_id)
        elif not self._is_live and await holds_messages(self._bootstrap, keys):
            raise ResumeMismatch(
                f"topic {names.ticks!r} holds messages already: take a new --run-id,"
                " or continue an interrupted replay with --resume"
            )
        for instrument in instruments:
            key = b"%d" % instrument.instrument_id
            message = control_message(instrument, run_id=run_id, mode="replay", key=key)
            await self._produce(names.instruments, message)
        await self.flush()
        return sent

    async def send(self, batch: TickBatch) -> None:
        """Take a batch; wait for the guard, and while too much is in flight.

        Raises
        ------
        SinkError
            The broker refused an earlier message.
        """
        if self._guard is not None:
            await self._guard.wait()
        message = batch.message()
        await self._produce(self._topics.ticks, message)
        if self._guard is not None:
            self._guard.sent(self._topics.ticks, len(message.value))

    async def flush(self) -> None:
        """Return when everything taken so far is acknowledged.

        Raises
        ------
        SinkError
            The broker refused a message.
        """
        while self._in_flight:
            await self._await_oldest()

    async def finish(self, ends: Sequence[EndOfReplay], run_id: str) -> None:
        """Send each partition its end-of-replay record, after all ticks are acknowledged.

        Raises
        ------
        SinkError
            The broker refused a message.
        """
        await self.flush()
        for partition, end in enumerate(ends):
            await self._produce(self._topics.ticks, end_message(end, partition, run_id))
        await self.flush()

    async def _produce(self, topic: str, message: Message) -> None:
        if self._producer is None:
            raise SinkError("the Kafka sink is not connected: use it as `async with`")
        while self._in_flight and (
            len(self._in_flight) >= self._max_in_flight
            or self._in_flight_bytes + len(message.value) > MAX_IN_FLIGHT_BYTES
        ):
            await self._await_oldest()
        try:
            future = await self._producer.send(
                topic,
                value=message.value,
                key=message.key,
                partition=message.partition,
                timestamp_ms=message.timestamp_ms,
                headers=message.headers,
            )
        except KafkaError as error:
            raise self._refused(topic, error) from error
        self._in_flight.append((future, len(message.value), topic))
        self._in_flight_bytes += len(message.value)

    async def _await_oldest(self) -> None:
        future, n_bytes, topic = self._in_flight.popleft()
        self._in_flight_bytes -= n_bytes
        try:
            await future
        except KafkaError as error:
            raise self._refused(topic, error) from error

    def _refused(self, topic: str, error: KafkaError) -> SinkError:
        return SinkError(
            f"the broker at {self._bootstrap!r} did not take a message for {topic!r}:"
            f" {type(error).__name__} {error}".rstrip()
        )
