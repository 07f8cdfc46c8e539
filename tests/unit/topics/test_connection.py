"""Broker addresses, and the start of clients."""

from __future__ import annotations

import asyncio
import time

import pytest

from topics.connection import check_bootstrap, start_client
from topics.errors import BrokerUnavailable


@pytest.mark.parametrize("address", ["localhost:9092", "127.0.0.1:1", "[::1]:9092", "a:1,b:2", "a:1, b:2"])
def test_addresses_pass(address: str) -> None:
    check_bootstrap(address)


@pytest.mark.parametrize(
    "address", ["", "localhost", "localhost:", ":9092", "a:0", "a:65536", "a:x", "a:1,", "a:-1"]
)
def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(BrokerUnavailable, match="must be host:port") as caught:
        check_bootstrap(address)
    assert repr(address) in str(caught.value)


class Connecting:
    """A client that connects for ever, as aiokafka's do while a broker is silent."""

    def __init__(self) -> None:
        self.connecting = asyncio.Event()
        self.stopped = False

    async def start(self) -> None:
        self.connecting.set()
        await asyncio.Event().wait()

    async def stop(self) -> None:
        self.stopped = True


async def test_a_start_that_is_cancelled_leaves_no_client_behind() -> None:
    client = Connecting()
    starting = asyncio.create_task(start_client(client, "127.0.0.1:9092"))
    await client.connecting.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert client.stopped


class Standing(Connecting):
    """A client that is answered, in a process that meanwhile computes and lets nothing else run."""

    async def start(self) -> None:
        time.sleep(0.6)
        for _ in range(10):
            await asyncio.sleep(0)


async def test_time_in_which_the_process_itself_stands_is_no_silence() -> None:
    await start_client(Standing(), "127.0.0.1:9092", timeout_s=0.5)


async def test_who_says_nothing_is_given_up() -> None:
    client = Connecting()
    with pytest.raises(BrokerUnavailable, match=r"within 0\.01 s"):
        await start_client(client, "127.0.0.1:9092", timeout_s=0.01)
    assert client.stopped
