"""The section's rows: one streamed run for each point of the curves; what is not varied is 500, 4 and 1."""

from __future__ import annotations

from typing import Final

from benchmarks.rows import Options, Row
from benchmarks.stream.bounded import Load, stream

COMMAND: Final = "python -m benchmarks scale"
INSTRUMENTS: Final = (50, 500, 2_000, 10_000)
PARTITIONS: Final = (1, 4, 8)
WORKERS: Final = (1, 2, 4)


def rows(options: Options) -> list[Row]:
    """Measure the curves, each point once."""
    ticks = 1_000_000 if options.quick else 4_000_000
    points = [(n, 4, 1) for n in INSTRUMENTS]
    points += [(500, p, 1) for p in PARTITIONS if p != 4] + [(500, 4, w) for w in WORKERS if w != 1]
    found = []
    for instruments, partitions, workers in points:
        run = stream(
            options.work,
            f"scale{instruments}-{partitions}-{workers}",
            Load(ticks=ticks, instruments=instruments, partitions=partitions, workers=workers),
        )
        found.append(
            Row(
                f"scale: {instruments} instruments, {partitions} partitions, {workers} workers",
                run.ticks_per_s,
                "ticks/s",
                "higher",
                command=COMMAND,
                note=f"CPU for a million ticks: workers {run.worker_cpu_s / run.ticks * 1e6:.2f} s, broker"
                f" {run.broker_cpu_s / run.ticks * 1e6:.2f} s; RSS of a worker {run.rss_bytes / 1e6:.0f} MB",
            )
        )
    return found
