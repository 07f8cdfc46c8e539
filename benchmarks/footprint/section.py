"""The section's rows: help, start to first consumption, its prediction, resident memory, restart after a kill."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.rows import Options, Row, median
from benchmarks.ticks import TickCycle, instruments_of
from benchmarks.worker_run import Workers, announce, producer_for, reading, ready, send, topics_for
from topics.embedded import EmbeddedBroker
from topics.messages import tick_message
from topics.runs import TickRun

COMMAND: Final = "python -m benchmarks footprint"
SIZE_NS: Final = 1_000_000_000
N_INSTRUMENTS: Final = 500


@dataclass(frozen=True)
class Footprint:
    """Seconds and bytes of one worker's life."""

    start_s: float
    first_s: float
    restart_s: float
    rss_bytes: int


def rows(options: Options) -> list[Row]:
    """Measure the section."""
    help_s = [_timed([sys.executable, "-m", "cs3g", "--help"]) for _ in range(max(options.repeats, 3))]
    empty_s = [_timed([sys.executable, "-c", "pass"]) for _ in range(max(options.repeats, 3))]
    lives = []
    for repeat in range(options.repeats):
        with EmbeddedBroker() as broker:
            lives.append(asyncio.run(_life(broker, options.work, f"life{repeat}")))
    return [
        Row("footprint: cs3g --help", median(help_s), "s", "lower", 0.3, limit=median(empty_s), command=COMMAND,
            note="limit: an empty Python"),
        Row("footprint: worker start to consuming", median([one.start_s for one in lives]), "s", "lower",
            command=COMMAND, note="imports, kernels from the cache, group, recovery of checkpoints"),
        Row("footprint: worker start to first prediction", median([one.first_s for one in lives]), "s", "lower",
            command=COMMAND, note=f"{N_INSTRUMENTS} instruments"),
        Row("footprint: restart after SIGKILL to next prediction", median([one.restart_s for one in lives]), "s",
            "lower", 5.0, command=COMMAND),
        Row("footprint: worker RSS", median([one.rss_bytes for one in lives]) / 1e6, "MB", "lower",
            command=COMMAND, note=f"after its first predictions, {N_INSTRUMENTS} instruments"),
    ]  # fmt: skip


async def _life(broker: EmbeddedBroker, work: Path, run_id: str) -> Footprint:
    cycle = TickCycle(instruments=N_INSTRUMENTS, partitions=4, ticks_per_window=5000, size_ns=SIZE_NS)
    async with topics_for(broker, run_id, bounded=True, window_size_ns=SIZE_NS) as config:
        workers = Workers(config, work / f"{run_id}.log")
        try:
            async with (
                reading(broker.bootstrap, config.topics.predictions) as consumer,
                producer_for(broker.bootstrap, linger_ms=0) as producer,
            ):
                await announce(producer, config, instruments_of(N_INSTRUMENTS))
                started = time.perf_counter()
                process = workers.start(1)
                await ready(config, workers, cycle.first_close_ns - 2 * SIZE_NS)
                start_s = time.perf_counter() - started
                await _window(producer, config, cycle, 0)
                await _window(producer, config, cycle, 1)
                await _next(consumer, workers)
                first_s = time.perf_counter() - started
                rss = workers.rss_bytes()
                process.kill()
                process.wait()
                workers.processes.remove(process)
                restarted = time.perf_counter()
                workers.start(1)
                await _window(producer, config, cycle, 2)
                await _window(producer, config, cycle, 3)
                await _next(consumer, workers)
                return Footprint(start_s, first_s, time.perf_counter() - restarted, rss)
        finally:
            workers.stop()


async def _window(producer: Any, config: Any, cycle: TickCycle, index: int) -> None:
    for partition in range(config.tick_partitions):
        run = TickRun("trades", cycle.window(index, partition))
        message = tick_message(run, run_id=config.run_id, mode=config.mode, seq=0, partition=partition)
        await send(producer, config.topics.ticks, message)
    await producer.flush()


async def _next(consumer: Any, workers: Workers, timeout_s: float = 120.0) -> None:
    deadline = time.perf_counter() + timeout_s
    while not await consumer.getmany(timeout_ms=50):
        workers.check()
        if time.perf_counter() > deadline:
            raise TimeoutError(f"no prediction in {timeout_s:g} s")


def _timed(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started
