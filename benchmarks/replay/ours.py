"""One replay in a process of its own, as a line of JSON: `python -m benchmarks.replay.ours WHAT PATH ...`.

The clock starts before the file is opened and stops when the broker has acknowledged everything; the pass that
checks a file before anything is sent is left out (`--no-check`), as no peer makes one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

from replay.config import ReplayConfig
from replay.kafka_sink import KafkaSink
from replay.report import ReplayReport
from replay.runner import run_replay
from replay.sinks import NullSink
from replay.sources.open import open_sources
from topics.admin import create_topics
from topics.embedded import EmbeddedBroker
from topics.specs import SPECS, replay_prefix

_PARTITIONS = 4


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path")
    parser.add_argument("--speed", type=float, default=0.0)
    parser.add_argument("--no-broker", action="store_true", help="read, merge and count only")
    given = parser.parse_args()
    config = ReplayConfig(
        run_id="bench", universe="bench", partitions=_PARTITIONS, speed=given.speed, check_first=False
    )
    if given.no_broker:
        found = asyncio.run(_replay(config, given.path, None))
    else:
        with EmbeddedBroker() as broker:
            found = asyncio.run(_replay(config, given.path, broker.bootstrap))
    print(json.dumps(found))


async def _replay(config: ReplayConfig, path: str, bootstrap: str | None) -> dict[str, float | str]:
    # What is imported at first use is no part of a rate: the first chunk of another pass takes care of it.
    next(open_sources([path], config.selection)[0].chunks())
    if bootstrap is None:
        started, cpu = time.perf_counter(), time.process_time()
        report = await run_replay(config, open_sources([path], config.selection), NullSink())
        return _values(report, time.perf_counter() - started, time.process_time() - cpu)
    prefix = replay_prefix(config.run_id)
    # Topics of which the embedded broker keeps a bounded tail: all that it keeps is in its memory.
    specs = (SPECS["instruments"], SPECS["ticks"])
    await create_topics(bootstrap, specs, prefix=prefix, partitions=config.partitions, embedded=True)
    sink = KafkaSink(bootstrap, prefix=prefix, partitions=config.partitions)
    async with sink:
        started, cpu = time.perf_counter(), time.process_time()
        report = await run_replay(config, open_sources([path], config.selection), sink)
        return _values(report, time.perf_counter() - started, time.process_time() - cpu)


def _values(report: ReplayReport, wall_s: float, cpu_s: float) -> dict[str, float | str]:
    return {
        "ticks": report.ticks,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "rss_mb": _peak_mb(),
        "lag_p99_ms": (report.lag_p99_s or 0.0) * 1e3,
        "messages": report.messages,
        "digest": report.digest,
    }


def _peak_mb() -> float:
    # Not ru_maxrss: that begins with what the process had which started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
