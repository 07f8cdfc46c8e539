"""Connect to a broker with one clear error when nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from topics.errors import BrokerUnavailable
from topics.specs import MAX_REQUEST_BYTES

CONNECT_TIMEOUT_S: Final = 5.0


async def start_client(client: Any, bootstrap: str, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
    """Start an aiokafka client, or close it and say who did not answer.

    Raises
    ------
    BrokerUnavailable
        Nobody answers at `bootstrap` as a Kafka broker within `timeout_s`.
    """
    try:
        async with asyncio.timeout(timeout_s):
            await client.start()
    except (KafkaError, OSError, TimeoutError) as error:
        await stop_client(client)
        raise BrokerUnavailable(
            f"no Kafka broker answers at {bootstrap!r} within {timeout_s:g} s; is it running,"
            " and is the address right? `cs3g broker start` runs one for development"
        ) from error


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
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await start_client(client, bootstrap, timeout_s)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def reader_client(
    bootstrap: str, timeout_s: float = CONNECT_TIMEOUT_S
) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a connected consumer without a group, for offsets and hand-assigned partitions.

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
    )
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
        bootstrap_servers=bootstrap, acks="all", linger_ms=5, max_request_size=MAX_REQUEST_BYTES
    )
    await start_client(client, bootstrap, timeout_s)
    try:
        yield client
    finally:
        await client.stop()


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
