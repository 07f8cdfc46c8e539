"""The section's rows: p50 and p99 to the prediction, the hops before it, growth over time, the bare broker."""

from __future__ import annotations

from typing import Final

import numpy as np

from benchmarks.latency.bare import bare
from benchmarks.latency.paced import HOPS, Paced, paced
from benchmarks.rows import Options, Row, median

COMMAND: Final = "python -m benchmarks latency --minutes 5"
SECONDS, QUICK_SECONDS = 30.0, 10.0


def rows(options: Options) -> list[Row]:
    """Measure the section, the pipeline and the bare broker in turns; then one long run for growth."""
    seconds = QUICK_SECONDS if options.quick else SECONDS
    runs: list[Paced] = []
    alone: list[list[float]] = []
    for repeat in range(options.repeats):
        alone.append(bare(seconds=seconds / 4))
        runs.append(paced(options.work, f"paced{repeat}", seconds=seconds))
        p50, p99 = runs[-1].quantile("predictions", 0.5), runs[-1].quantile("predictions", 0.99)
        print(f"   p50 {p50:.2f} ms, p99 {p99:.2f} ms", flush=True)
    missing = sum(run.missing for run in runs)
    late = median([float(np.quantile(run.late_ms, 0.99)) for run in runs])
    note = (
        f"500 instruments, 10,000 ticks/s, 250 ms windows; producer late by {late:.1f} ms at p99;"
        f" {missing} windows missing"
    )
    found = [
        _row(f"latency: last tick to {hop} received, {name}", runs, hop, q, alone, target, note)
        for hop in HOPS
        for name, q, target in (("p50", 0.5, 4.0), ("p99", 0.99, 12.0))
    ]
    if options.minutes:
        long = paced(options.work, "long", seconds=options.minutes * 60.0)
        found.append(
            Row(
                f"latency: growth of the median over {options.minutes:g} minutes",
                long.growth_ms(),
                "ms",
                "lower",
                target=0.5,
                command=COMMAND,
                note=f"last fifth minus first fifth of {len(long.hops_ms['predictions'])} windows; worker RSS from"
                f" {long.rss_bytes[1] / 1e6:.0f} to {long.rss_bytes[-1] / 1e6:.0f} MB",
            )
        )
    return found


def _row(
    name: str, runs: list[Paced], hop: str, q: float, alone: list[list[float]], target: float, note: str
) -> Row:
    return Row(
        name,
        median([run.quantile(hop, q) for run in runs]),
        "ms",
        "lower",
        target=target if hop == "predictions" else None,
        limit=median([float(np.quantile(values, q)) for values in alone]),
        command=COMMAND,
        note=note + "; limit: one produce to consume of the bare broker, of four on the way",
    )
