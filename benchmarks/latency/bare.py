"""Time from produce to consume of the bare broker, with messages of the size of a tick message."""

from __future__ import annotations

import asyncio
import time

from aiokafka.admin import NewTopic

from benchmarks.worker_run import producer_for, reading
from topics.connection import admin_client
from topics.embedded import EmbeddedBroker


def bare(*, seconds: float, per_s: int = 100, n_bytes: int = 2400) -> list[float]:
    """Return ms from handing a message to the producer to its arrival at a consumer, one by one."""
    with EmbeddedBroker() as broker:
        return asyncio.run(_bare(broker.bootstrap, seconds, per_s, n_bytes))


async def _bare(bootstrap: str, seconds: float, per_s: int, n_bytes: int) -> list[float]:
    async with admin_client(bootstrap) as admin:
        await admin.create_topics([NewTopic("bare", 1, 1)])
    found: list[float] = []
    async with reading(bootstrap, "bare") as consumer, producer_for(bootstrap, linger_ms=0) as producer:
        for _ in range(round(seconds * per_s)):
            await asyncio.sleep(1.0 / per_s)
            started = time.perf_counter()
            await producer.send("bare", bytes(n_bytes))
            await consumer.getone()
            found.append((time.perf_counter() - started) * 1000.0)
    return found
