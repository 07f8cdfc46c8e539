"""A live market at a fixed pace through one worker, each window's way timed hop by hop.

The clock of a window starts when its last tick is handed to the producer, all partitions considered. Ticks go out
every 25 ms; at a window's end the producer sends its last ticks and, as a live feed does, a heartbeat for each
partition. Every hop is the time at which this process received the message of that topic.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.ticks import TickCycle, instruments_of
from benchmarks.worker_run import Workers, announce, producer_for, reading, ready, send, topics_for
from topics.embedded import EmbeddedBroker
from topics.messages import tick_message
from topics.runs import TickRun
from topics.ticks import heartbeat, join_records
from topics.types import RecordArray

FLUSH_S: Final = 0.025
WINDOW_NS: Final = 250_000_000
PARTITIONS: Final = 4
WARM_WINDOWS: Final = 40
"""Left out: relations begin after 33 windows."""

HOPS: Final = ("windows", "graphs", "predictions")


@dataclass
class Paced:
    """Milliseconds from each window's last tick to its arrival on each topic, in order of the windows.

    Attributes
    ----------
    late_ms
        How late the producer itself was at each window's end.
    """

    hops_ms: dict[str, list[float]] = field(default_factory=lambda: {hop: [] for hop in HOPS})
    late_ms: list[float] = field(default_factory=list)
    rss_bytes: list[int] = field(default_factory=list)
    sent: int = 0
    missing: int = 0

    def quantile(self, hop: str, q: float) -> float:
        """Return a quantile of a hop in ms."""
        return float(np.quantile(self.hops_ms[hop], q))

    def growth_ms(self) -> float:
        """Return the median of the last fifth minus that of the first fifth."""
        values = self.hops_ms["predictions"]
        fifth = max(len(values) // 5, 1)
        return float(np.median(values[-fifth:]) - np.median(values[:fifth]))


def paced(
    work: Path, run_id: str, *, seconds: float, ticks_per_s: int = 10_000, instruments: int = 500
) -> Paced:
    """Run it for so many seconds after the warm-up."""
    with EmbeddedBroker() as broker:
        return asyncio.run(_paced(broker, work, run_id, seconds, ticks_per_s, instruments))


async def _paced(
    broker: EmbeddedBroker, work: Path, run_id: str, seconds: float, ticks_per_s: int, instruments: int
) -> Paced:
    windows = WARM_WINDOWS + round(seconds * 1e9 / WINDOW_NS)
    cycle = TickCycle(
        instruments=instruments,
        partitions=PARTITIONS,
        ticks_per_window=ticks_per_s * WINDOW_NS // 1_000_000_000,
        size_ns=WINDOW_NS,
    )
    async with topics_for(
        broker, run_id, mode="live", bounded=True, window_size_ns=WINDOW_NS, tick_partitions=PARTITIONS
    ) as config:
        workers = Workers(config, work / f"{run_id}.log")
        try:
            workers.start(1)
            await ready(config, workers, time.time_ns() - 60 * 1_000_000_000)
            names = config.topics
            hop_of = {names.windows: "windows", names.graphs: "graphs", names.predictions: "predictions"}
            async with (
                reading(broker.bootstrap, *hop_of) as consumer,
                producer_for(broker.bootstrap, linger_ms=0) as producer,
            ):
                await announce(producer, config, instruments_of(instruments))
                seen: dict[str, dict[int, float]] = {hop: {} for hop in HOPS}
                watch = asyncio.create_task(_watch(consumer, hop_of, seen))
                result = Paced()
                try:
                    last_s = await _feed(producer, config, cycle, windows, workers, result)
                    await _settle(seen.values(), list(last_s)[-1])
                finally:
                    watch.cancel()
        finally:
            workers.stop()
    for close_ns, sent_s in list(last_s.items())[WARM_WINDOWS:]:
        if any(close_ns not in found for found in seen.values()):
            result.missing += 1
            continue
        for hop in HOPS:
            result.hops_ms[hop].append((seen[hop][close_ns] - sent_s) * 1000.0)
    return result


async def _feed(
    producer: Any, config: Any, cycle: TickCycle, windows: int, workers: Workers, result: Paced
) -> dict[int, float]:
    """Send `windows` windows on time; return when each one's last tick was handed over, by its end."""
    last_s: dict[int, float] = {}
    seq = [0] * PARTITIONS
    # Event time is the wall clock's, aligned to the windows.
    origin_ns = (time.time_ns() // WINDOW_NS + 2) * WINDOW_NS
    shift = np.uint64(origin_ns - (cycle.first_close_ns - WINDOW_NS))
    following = _ticks(cycle, 0, shift)
    for index in range(windows):
        open_ns = origin_ns + index * WINDOW_NS
        parts, following = following, []
        done = [0] * PARTITIONS
        while True:
            next_ns = min(time.time_ns() + int(FLUSH_S * 1e9), open_ns + WINDOW_NS)
            await asyncio.sleep(max(0.0, (next_ns - time.time_ns()) / 1e9))
            ends = next_ns >= open_ns + WINDOW_NS
            for partition, records in enumerate(parts):
                upto = int(np.searchsorted(records["ts_event"], np.uint64(next_ns)))
                piece = records[done[partition] : upto]
                done[partition] = upto
                if ends:
                    piece = join_records([piece, heartbeat("trades", open_ns + WINDOW_NS).records])
                if len(piece):
                    message = tick_message(
                        TickRun("trades", piece),
                        run_id=config.run_id,
                        mode="live",
                        seq=seq[partition],
                        partition=partition,
                    )
                    last_s[open_ns + WINDOW_NS] = time.perf_counter()
                    await send(producer, config.topics.ticks, message)
                    seq[partition] += len(piece)
            if ends:
                break
            if not following and next_ns >= open_ns + WINDOW_NS // 2:
                # Not at a window's end, when this process would be late to notice what comes.
                following = _ticks(cycle, index + 1, shift)
        result.late_ms.append((time.time_ns() - open_ns - WINDOW_NS) / 1e6)
        result.sent += sum(map(len, parts))
        if index % 40 == 0:
            workers.check()
            result.rss_bytes.append(workers.rss_bytes())
    await producer.flush()
    return last_s


def _ticks(cycle: TickCycle, index: int, shift: np.uint64) -> list[RecordArray]:
    parts = [cycle.window(index, partition) for partition in range(PARTITIONS)]
    for records in parts:
        records["ts_event"] += shift
        records["ts_recv"] += shift
    return parts


async def _watch(consumer: Any, hop_of: dict[str, str], seen: dict[str, dict[int, float]]) -> None:
    # A message's time is the end of its last window.
    while True:
        batch = await consumer.getmany(timeout_ms=1000)
        now_s = time.perf_counter()
        for partition, records in batch.items():
            hop = hop_of[partition.topic]
            for record in records:
                # Of the windows topic the last partition's message counts: it comes last and overwrites.
                seen[hop][record.timestamp * 1_000_000] = now_s


async def _settle(seen: Collection[dict[int, float]], last_ns: int, timeout_s: float = 10.0) -> None:
    deadline = time.perf_counter() + timeout_s
    while any(last_ns not in found for found in seen) and time.perf_counter() < deadline:
        await asyncio.sleep(0.01)
