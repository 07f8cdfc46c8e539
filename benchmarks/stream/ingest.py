"""The bridge on the topic that the peers read: one-tick JSON messages into runs on the tick topic."""

from __future__ import annotations

import asyncio
import time

from benchmarks.stream.peers import TOPIC
from topics.admin import create_topics
from topics.bridge import Bridge, BridgeCounts

PREFIX = "bridged."


def ingest(bootstrap: str, count: int) -> float:
    """Return the bridge's ticks/s, from the first message that it reads to the last acknowledged."""
    return asyncio.run(_ingest(bootstrap, count))


async def _ingest(bootstrap: str, count: int) -> float:
    await create_topics(bootstrap, prefix=PREFIX, partitions=4)
    started = 0.0

    def until(counts: BridgeCounts) -> bool:
        nonlocal started
        if not counts.read:
            started = time.perf_counter()  # the last moment before the first messages were asked for
        return counts.read >= count

    counts = await Bridge(bootstrap, TOPIC, prefix=PREFIX).run(until=until)
    if counts.ticks != count:
        raise RuntimeError(f"the bridge sent {counts.ticks} of {count} ticks")
    return count / (time.perf_counter() - started)
