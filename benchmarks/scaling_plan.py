"""Where a deployment for many ticks a second breaks first: `python -m benchmarks.scaling_plan --ticks-per-s 1e8`.

Arithmetic from costs measured on one machine, all of which can be given; no queueing is simulated, so what it prints is
the load at which a part has no time left, not the latency near it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """CPU seconds of one core, measured in a worker; see docs/scaling.md for the commands.

    Attributes
    ----------
    tick_s
        Of the windows stage for a tick in messages of 1,000, consumption included.
    row_s
        For an instrument in a closed window: encode, decode, barrier, features.
    pair_s
        For a pair of instruments and window: relations, amortized over their strides.
    score_s
        For an instrument and window: snapshot on the wire, student, prediction.
    """

    tick_s: float = 1.1e-6
    row_s: float = 5.0e-6
    pair_s: float = 9.0e-9
    score_s: float = 5.0e-6


@dataclass(frozen=True)
class Deployment:
    """What is asked for."""

    ticks_per_s: float
    instruments: int
    universes: int
    window_s: float
    cores_per_host: int
    tick_bytes: int = 48
    link_bytes_per_s: float = 3.0e9


def plan(want: Deployment, costs: Costs) -> list[tuple[str, float, str]]:
    """Return (part, cores or hosts that it needs, what bounds it), in the order of the path."""
    per_universe = want.instruments / want.universes
    windows = want.ticks_per_s * costs.tick_s
    rows_per_s = want.instruments / want.window_s
    graphs_one = (per_universe * costs.row_s + per_universe**2 * costs.pair_s) / want.window_s
    scoring_one = per_universe * costs.score_s / want.window_s
    return [
        (
            "broker links",
            want.ticks_per_s * want.tick_bytes * 2 / want.link_bytes_per_s,
            "hosts by bytes in and out",
        ),
        ("windows", windows + rows_per_s * costs.row_s, "cores; one tick partition each at most"),
        ("graphs of a universe", graphs_one, "of ONE core: a universe is one ordered sequence"),
        ("scoring of a universe", scoring_one, "of ONE core, likewise"),
        ("graphs, all", graphs_one * want.universes, "cores"),
        ("scoring, all", scoring_one * want.universes, "cores"),
    ]


def main() -> None:
    """Print the plan."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ticks-per-s", type=float, default=1e8)
    parser.add_argument("--instruments", type=int, default=100_000)
    parser.add_argument("--window-s", type=float, default=1.0)
    parser.add_argument("--cores-per-host", type=int, default=32)
    given = parser.parse_args()
    costs = Costs()
    for universes in (1, 10, 50, 200):
        want = Deployment(
            given.ticks_per_s, given.instruments, universes, given.window_s, given.cores_per_host
        )
        parts = plan(want, costs)
        print(f"{universes} universes of {given.instruments // universes:,} instruments")
        for name, amount, unit in parts:
            breaks = "  <- breaks" if "ONE core" in unit and amount > 1 else ""
            print(f"  {name:24s}{amount:10.2f} {unit}{breaks}")
        cores = sum(amount for _, amount, unit in parts if unit.startswith("cores"))
        print(f"  {'hosts':24s}{cores / given.cores_per_host:10.1f} of {given.cores_per_host} cores")


if __name__ == "__main__":
    main()
