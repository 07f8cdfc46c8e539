"""One catch-up run: a filled ticks topic, workers that were stopped meanwhile, and the time to the last prediction.

The workers have joined their group before the topic is filled and are held by SIGSTOP while it is, so the clock starts
with the first byte that they can consume and neither imports nor the group's formation count.
"""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.ticks import Filled
from benchmarks.worker_run import Workers, announce, cpu_s, producer_for, reading, ready, send, topics_for
from topics.compression import fast_zstd
from topics.digest import PredictionDigest
from topics.embedded import EmbeddedBroker
from topics.envelope import Envelope
from topics.predictions_codec import decode_predictions

COMPRESSION: Final = fast_zstd()
"""As a replay sends its ticks."""

REST_S: Final = 0.02
"""Throughput loses nothing by it, and a client that asks all the time takes a core from the others."""

TIMEOUT_S: Final = 180.0


@dataclass(frozen=True)
class CatchUp:
    """What a run took; CPU seconds of the workers and of the broker, resident bytes of the largest worker."""

    ticks: int
    windows: int
    wall_s: float
    first_s: float
    worker_cpu_s: float
    broker_cpu_s: float
    rss_bytes: int
    digest: str

    @property
    def ticks_per_s(self) -> float:
        """Ticks a second of wall clock, from the start of consumption to the last prediction received."""
        return self.ticks / self.wall_s


def catch_up(filled: Filled, run_id: str, work: Path, *, workers: int = 1, **settings: Any) -> CatchUp:
    """Run it; `filled.messages` must be those of `run_id`."""
    with EmbeddedBroker() as broker:
        return asyncio.run(_catch_up(broker, filled, run_id, work, workers, settings))


async def _catch_up(
    broker: EmbeddedBroker, filled: Filled, run_id: str, work: Path, n_workers: int, settings: dict[str, Any]
) -> CatchUp:
    assert broker.pid is not None  # noqa: S101  # it runs
    async with topics_for(broker, run_id, bounded=False, **settings) as config:
        workers = Workers(config, work / f"{run_id}.log")
        try:
            for number in range(1, n_workers + 1):
                workers.start(number)
            await ready(config, workers, filled.ts_first - 2 * config.window_size_ns)
            async with reading(broker.bootstrap, config.topics.predictions, rest_s=REST_S) as consumer:
                workers.signal(signal.SIGSTOP)
                async with producer_for(broker.bootstrap, compression=COMPRESSION) as producer:
                    await announce(producer, config, filled.instruments)
                    topic = config.topics.ticks
                    for partition in sorted(filled.messages):
                        for message in filled.messages[partition]:
                            await send(producer, topic, message)
                    await producer.flush()
                await asyncio.sleep(2.0)  # the broker's own writing of what it was given is not our work
                cpu_before, broker_before = workers.cpu_s(), cpu_s(broker.pid)
                started = time.perf_counter()
                workers.signal(signal.SIGCONT)
                values, first_s = await _receive(consumer, filled, config.window_size_ns, workers, started)
                wall_s = time.perf_counter() - started
            digest = PredictionDigest()
            for headers, value in values:
                digest.update(decode_predictions(value, Envelope.from_headers(headers)))
            return CatchUp(
                ticks=filled.n_ticks,
                windows=digest.n_windows,
                wall_s=wall_s,
                first_s=first_s,
                worker_cpu_s=workers.cpu_s() - cpu_before,
                broker_cpu_s=cpu_s(broker.pid) - broker_before,
                rss_bytes=workers.rss_bytes(),
                digest=digest.value(),
            )
        finally:
            workers.stop()


async def _receive(
    consumer: Any, filled: Filled, size_ns: int, workers: Workers, started: float
) -> tuple[list[tuple[Any, bytes]], float]:
    # Messages are only kept while the clock runs; their event time is the end of their last window.
    last_ms = (filled.ts_last // size_ns + 1) * size_ns // 1_000_000
    values: list[tuple[Any, bytes]] = []
    first_s, reached_ms = 0.0, -1
    while reached_ms < last_ms:
        for records in (await consumer.getmany(timeout_ms=100)).values():
            first_s = first_s or time.perf_counter() - started
            values += [(record.headers, record.value) for record in records]
            reached_ms = max(reached_ms, max(record.timestamp for record in records))
        workers.check()
        if time.perf_counter() - started > TIMEOUT_S:
            raise TimeoutError(f"only {reached_ms} of {last_ms} ms was predicted in {TIMEOUT_S:g} s")
    return values, first_s
