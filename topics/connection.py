"""Connect to a broker with one clear error when nobody answers."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from topics.errors import BrokerUnavailable
from topics.pacing import MOST_S, pace_fetches
from topics.security import broker_security
from topics.specs import MAX_REQUEST_BYTES

CONNECT_TIMEOUT_S: Final = 15.0
"""A refusal is told at once; who listens and says nothing may be the broker of a busy machine."""

TURN_S: Final = 0.25
"""The wait is counted in turns of so long, so that time in which this process itself stood still is no silence."""

ABANDON_S: Final = 1.0
"""How long the start of a client that is cancelled may still take."""

_FETCH_MS: Final = 200

_AIOKAFKA_LOG: Final = logging.getLogger("aiokafka")


async def start_client(client: Any, bootstrap: str, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
    """Start an aiokafka client, or close it and say who did not answer.

    Raises
    ------
    BrokerUnavailable
        Nobody answers at `bootstrap` as a Kafka broker within `timeout_s`.
    """
    # The exception below says all that aiokafka would log about the same failure.
    silence = _Silence()
    _AIOKAFKA_LOG.addFilter(silence)
    starting = asyncio.ensure_future(client.start())
    try:
        await _answered(starting, timeout_s)
    except BaseException as error:
        await _end(starting, 0.0 if isinstance(error, TimeoutError) else ABANDON_S)
        await stop_client(client)  # also of a start that is cancelled: it may hold a connection already
        if not isinstance(error, (KafkaError, OSError, TimeoutError)):
            raise
        raise BrokerUnavailable(
            f"no Kafka broker answers at {bootstrap!r} within {timeout_s:g} s{silence.reason}; is it running, are"
            " the address and CS3G_BROKER_SECURITY right? `cs3g broker start` runs one for development"
        ) from error
    finally:
        _AIOKAFKA_LOG.removeFilter(silence)


async def _answered(starting: asyncio.Future[None], timeout_s: float) -> None:
    for _ in range(math.ceil(timeout_s / TURN_S)):
        done, _ = await asyncio.wait({starting}, timeout=min(TURN_S, timeout_s))
        if done:
            return starting.result()
    raise TimeoutError


async def _end(starting: asyncio.Future[None], grace_s: float) -> None:
    # A start that is cut short forgets the connection over which it was asking for the brokers, and nobody can close
    # it then: whoever cancels waits for its end, which is some milliseconds away where a broker answers.
    await asyncio.wait({starting}, timeout=grace_s)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)


async def stop_client(client: Any) -> None:
    """Stop a consumer or producer, or close an admin client."""
    await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())


@asynccontextmanager
async def admin_client(
    bootstrap: str, timeout_s: float = CONNECT_TIMEOUT_S
) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield a connected admin client.

    Raises
    ------
    BrokerUnavailable
        Nobody answers at `bootstrap`.
    """
    check_bootstrap(bootstrap)
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **broker_security().client_options())
    await start_client(client, bootstrap, timeout_s)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def reader_client(
    bootstrap: str, timeout_s: float = CONNECT_TIMEOUT_S, *, rest_s: float = MOST_S
) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a connected consumer without a group, for offsets and hand-assigned partitions.

    Parameters
    ----------
    rest_s
        How late a message may come after a silence, where the broker does not hold fetches.

    Raises
    ------
    BrokerUnavailable
        Nobody answers at `bootstrap`.
    """
    check_bootstrap(bootstrap)
    client = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_REQUEST_BYTES,
        **broker_security().client_options(),
    )
    pace_fetches(client, most_s=rest_s)
    await start_client(client, bootstrap, timeout_s)
    try:
        yield client
    finally:
        await client.stop()


@asynccontextmanager
async def producer_client(
    bootstrap: str, timeout_s: float = CONNECT_TIMEOUT_S
) -> AsyncIterator[AIOKafkaProducer]:
    """Yield a connected producer that waits for every replica and takes the contract's largest message.

    Raises
    ------
    BrokerUnavailable
        Nobody answers at `bootstrap`.
    """
    check_bootstrap(bootstrap)
    client = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        linger_ms=5,
        max_request_size=MAX_REQUEST_BYTES,
        **broker_security().client_options(),
    )
    await start_client(client, bootstrap, timeout_s)
    try:
        yield client
    finally:
        await client.stop()


async def read_to_end(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
) -> AsyncIterator[ConsumerRecord[bytes, bytes]]:
    """Yield what is on some assigned partitions up to their ends as they are at the call."""
    ends = await consumer.end_offsets(partitions)
    while behind := [part for part in partitions if await consumer.position(part) < ends[part]]:
        fetched = await consumer.getmany(*behind, timeout_ms=_FETCH_MS)
        for records in fetched.values():
            for record in records:
                yield record


def check_bootstrap(bootstrap: str) -> None:
    """Refuse what is not a comma-separated list of host:port.

    Raises
    ------
    BrokerUnavailable
        An entry is not host:port.
    """
    for entry in bootstrap.split(","):
        host, colon, port = entry.strip().rpartition(":")
        if not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise BrokerUnavailable(
                f"broker address {bootstrap!r} must be host:port, or several with commas between"
            )


class _Silence(logging.Filter):
    """Keeps why a connection failed out of the log, for the exception; aiokafka raises it without."""

    reason = ""

    def filter(self, record: logging.LogRecord) -> bool:
        is_other = not record.getMessage().startswith("Unable connect to")
        if not is_other and record.args:
            self.reason = f" ({record.args[-1]})"  # type: ignore[index]  # of a tuple, as aiokafka logs
        return is_other
