"""Catch-up of generated trades that never lie in the topic as a whole: the broker keeps a bounded tail.

The producer runs in this process and stays a bounded number of ticks ahead of what is predicted, so the number is
that of producer, broker, worker and client together on this machine.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.stream.catch_up import COMPRESSION, REST_S
from benchmarks.ticks import TickCycle, instruments_of
from benchmarks.worker_run import Workers, announce, cpu_s, producer_for, reading, ready, send, topics_for
from topics.embedded import EmbeddedBroker
from topics.messages import tick_message
from topics.runs import TickRun
from topics.types import NANOS_PER_SECOND

MAX_AHEAD_WINDOWS: Final = 6
TIMEOUT_S: Final = 300.0


@dataclass(frozen=True)
class Streamed:
    """What a streamed run took; the clock runs from the first tick sent to the last prediction received."""

    ticks: int
    wall_s: float
    worker_cpu_s: float
    broker_cpu_s: float
    rss_bytes: int

    @property
    def ticks_per_s(self) -> float:
        """Ticks a second of wall clock."""
        return self.ticks / self.wall_s


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is streamed, and by how many workers it is taken."""

    ticks: int
    instruments: int = 500
    batch_ticks: int = 1000
    ticks_per_window: int = 100_000
    size_ns: int = 10 * NANOS_PER_SECOND
    partitions: int = 4
    workers: int = 1

    @property
    def windows(self) -> int:
        """Whole windows of about so many ticks."""
        return max(self.ticks // self.ticks_per_window, 2)


def stream(work: Path, run_id: str, load: Load) -> Streamed:
    """Stream about so many ticks, whole windows of them."""
    cycle = TickCycle(
        instruments=load.instruments,
        partitions=load.partitions,
        ticks_per_window=load.ticks_per_window,
        size_ns=load.size_ns,
    )
    with EmbeddedBroker() as broker:
        return asyncio.run(_stream(broker, cycle, work / f"{run_id}.log", run_id, load))


async def _stream(broker: EmbeddedBroker, cycle: TickCycle, log: Path, run_id: str, load: Load) -> Streamed:
    size_ns, windows = load.size_ns, load.windows
    assert broker.pid is not None  # noqa: S101  # it runs
    async with topics_for(
        broker, run_id, bounded=True, window_size_ns=size_ns, tick_partitions=load.partitions
    ) as config:
        workers = Workers(config, log)
        try:
            for number in range(1, load.workers + 1):
                workers.start(number)
            await ready(config, workers, cycle.first_close_ns - 2 * size_ns)
            async with (
                reading(broker.bootstrap, config.topics.predictions, rest_s=REST_S) as consumer,
                producer_for(broker.bootstrap, compression=COMPRESSION) as producer,
            ):
                await announce(producer, config, instruments_of(load.instruments))
                cpu_before, broker_before = workers.cpu_s(), cpu_s(broker.pid)
                started = time.perf_counter()
                n_sent, predicted = 0, 0
                seq = [0] * load.partitions
                unsent: deque[int] = deque(range(windows + 1))
                # The window after the last lets the last one close, and is not counted.
                while predicted < windows:
                    while unsent and unsent[0] - predicted < MAX_AHEAD_WINDOWS:
                        index = unsent.popleft()
                        n_sent += await _send_window(producer, config, cycle, index, load.batch_ticks, seq)
                    predicted = await _predicted(consumer, cycle, size_ns, predicted)
                    workers.check()
                    if time.perf_counter() - started > TIMEOUT_S:
                        raise TimeoutError(f"{predicted} of {windows} windows in {TIMEOUT_S:g} s")
                wall_s = time.perf_counter() - started
            per_window = n_sent // (windows + 1)
            return Streamed(
                ticks=per_window * windows,
                wall_s=wall_s,
                worker_cpu_s=workers.cpu_s() - cpu_before,
                broker_cpu_s=cpu_s(broker.pid) - broker_before,
                rss_bytes=workers.rss_bytes(),
            )
        finally:
            workers.stop()


async def _send_window(
    producer: Any, config: Any, cycle: TickCycle, index: int, batch_ticks: int, seq: list[int]
) -> int:
    # Partitions take turns message by message: one that is far ahead would only wait for the others.
    parts = [cycle.window(index, partition) for partition in range(len(seq))]
    topic = config.topics.ticks  # names are made anew each time they are asked for
    for start in range(0, max(map(len, parts)), batch_ticks):
        for partition, records in enumerate(parts):
            piece = records[start : start + batch_ticks]
            if not len(piece):
                continue
            run = TickRun("trades", piece)
            message = tick_message(
                run, run_id=config.run_id, mode=config.mode, seq=seq[partition], partition=partition
            )
            await send(producer, topic, message)
            seq[partition] += len(piece)
    return sum(map(len, parts))


async def _predicted(consumer: Any, cycle: TickCycle, size_ns: int, predicted: int) -> int:
    for records in (await consumer.getmany(timeout_ms=20)).values():
        reached_ns = max(record.timestamp for record in records) * 1_000_000
        predicted = max(predicted, (reached_ns - cycle.first_close_ns) // size_ns + 1)
    return predicted
