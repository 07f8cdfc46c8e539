"""A client whose start is cut short at any moment leaves no connection open."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection

from topics.connection import admin_client, producer_client, reader_client

pytestmark = pytest.mark.broker

MOMENTS = 40
"""Turns of the event loop after which a start is cancelled; with a broker at hand it takes fewer."""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[AIOKafkaConnection]]:
    """Every connection that is made during a test."""
    found: list[weakref.ref[AIOKafkaConnection]] = []
    connect = AIOKafkaConnection.connect

    async def noted(self: AIOKafkaConnection) -> Any:
        found.append(weakref.ref(self))
        return await connect(self)

    monkeypatch.setattr(AIOKafkaConnection, "connect", noted)
    return found


@pytest.mark.parametrize("client", [admin_client, producer_client, reader_client])
async def test_a_start_cancelled_at_any_moment_leaves_no_connection(
    bootstrap_servers: str, made: list[weakref.ref[AIOKafkaConnection]], client: Any
) -> None:
    async def use(opened: AbstractAsyncContextManager[Any]) -> None:
        async with opened:
            pass

    for moment in range(MOMENTS):
        using = asyncio.create_task(use(client(bootstrap_servers)))
        for _ in range(moment):
            await asyncio.sleep(0)
        using.cancel()
        await asyncio.gather(using, return_exceptions=True)
    assert len(made) > MOMENTS / 2
    assert [conn for ref in made if (conn := ref()) is not None and conn.connected()] == []
