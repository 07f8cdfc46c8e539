"""What a run comes to: lags by phase, what filled first, and the largest rate that a deployment keeps up with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from benchmarks.scaling_plan.costs import Costs
from benchmarks.scaling_plan.deployment import Deployment, first_to_saturate, resources
from benchmarks.scaling_plan.simulate import STAGES, Outcome, simulate
from topics.types import BoolArray

LOWEST_RATE: Final = 1e5
_BISECTIONS: Final = 14


@dataclass(frozen=True)
class Lags:
    """Seconds from a window's end until its prediction is with a client, over windows and universes."""

    p50_s: float
    p99_s: float
    max_s: float


def lags(outcome: Outcome, chosen: BoolArray, stage: str = "predictions") -> Lags | None:
    """Return the lags of the chosen windows up to a stage; None if none is chosen."""
    of_windows = outcome.lag_s[STAGES.index(stage)][chosen]
    if not of_windows.size:
        return None
    p50, p99, most = np.quantile(of_windows, (0.5, 0.99, 1.0))
    return Lags(float(p50), float(p99), float(most))


def phases(want: Deployment, outcome: Outcome) -> dict[str, BoolArray]:
    """Return which windows are of which phase: `calm`, `burst` from its begin until it ends, `loss` from then on."""
    ends_s, loss_s = outcome.ends_s, np.inf if want.loss_at_s is None else want.loss_at_s
    burst = (ends_s > want.burst_at_s) & (ends_s <= want.burst_at_s + want.burst_s) & (want.burst > 1)
    loss = ends_s > loss_s
    # After the burst its backlog may still be there: that is neither.
    calm = (ends_s <= want.burst_at_s) if want.burst > 1 else np.ones(len(ends_s), np.bool_)
    return {"calm": calm & ~loss, "burst": burst & ~loss, "loss": loss}


def settled_s(want: Deployment, outcome: Outcome, since_s: float) -> float:
    """Return after how long no prediction is late by more than a window any more, infinite if the last is."""
    lag_s, done_s = outcome.lag_s[-1], outcome.done_s[-1]
    late = (lag_s > want.window_s) & (outcome.ends_s[:, None] > since_s)
    if late[-1].any():
        return float("inf")
    return max(0.0, float(done_s[late].max(initial=since_s)) - since_s)


def report(want: Deployment, costs: Costs) -> list[str]:
    """Return the lines that describe a deployment's run."""
    outcome = simulate(want, costs)
    lines = [
        f"{want.ticks_per_s / 1e6:,.4g} M ticks/s, {want.universes} universes of {want.per_universe:,} instruments,"
        f" windows of {want.window_s:g} s",
        f"{want.hosts} hosts of {want.cores_per_host} cores, sequences {want.placement},"
        f" {want.partitions_per_universe} tick partitions a universe,"
        f" {want.brokers} brokers of {want.link_gbit:g} Gbit/s",
        "",
        f"{'stage':14s}{'cores':>8s}{'p50':>10s}{'p99':>10s}{'max':>10s}   s after the window's end, whole run",
    ]
    everything = np.ones(len(outcome.ends_s), np.bool_)
    for number, stage in enumerate(STAGES):
        found = lags(outcome, everything, stage)
        assert found is not None  # noqa: S101  # a run has windows
        cores = outcome.busy_s[number].sum() / want.duration_s
        lines.append(f"{stage:14s}{cores:8.2f}{found.p50_s:10.3f}{found.p99_s:10.3f}{found.max_s:10.3f}")
    lines += ["", f"{'predictions':36s}{'p50':>10s}{'p99':>10s}{'max':>10s}"]
    names = {
        "calm": "before the burst" if want.burst > 1 else "all is well",
        "burst": f"burst of {want.burst:g} times for {want.burst_s:g} s",
        "loss": "after a host is lost",
    }
    for name, chosen in phases(want, outcome).items():
        of_phase = lags(outcome, chosen)
        if of_phase is not None:
            lines.append(
                f"{names[name]:36s}{of_phase.p50_s:10.3f}{of_phase.p99_s:10.3f}{of_phase.max_s:10.3f}"
            )
    if want.loss_at_s is not None:
        lines.append(f"settled after the loss: {_seconds(settled_s(want, outcome, want.loss_at_s))}")
    lines += ["", f"{'used of each resource':36s}{'calm':>10s}{'burst':>10s}"]
    calm = resources(want, costs, want.ticks_per_s)
    burst = resources(want, costs, want.ticks_per_s * want.burst)
    lines += [f"{name:36s}{calm[name]:10.1%}{burst[name]:10.1%}" for name in calm]
    name, rate = first_to_saturate(want, costs)
    at = f"at {rate / 1e6:,.4g} M ticks/s" if rate else "without a single tick"
    lines.append(f"first to saturate at a steady rate: {name}, {at}")
    if outcome.full is None:
        lines.append("no backlog was longer than a window")
    else:
        lines.append(f"first backlog longer than a window: {outcome.full[0]}, after {outcome.full[1]:.1f} s")
    return lines


HEADINGS: Final = (
    "deployment", "calm p50 / p99", "burst p99 / max", "host lost, settled after", "fills first, at", "keeps up to",
)  # fmt: skip


def row(name: str, want: Deployment, costs: Costs) -> tuple[str, ...]:
    """Return a deployment's row of the table, under `HEADINGS`."""
    outcome = simulate(want, costs)
    found = {phase: lags(outcome, chosen) for phase, chosen in phases(want, outcome).items()}
    calm, burst = found["calm"], found["burst"]
    assert calm is not None  # noqa: S101  # a run begins calmly
    full, rate = first_to_saturate(want, costs)
    steady = replace(want, burst=1.0)
    loss = (
        "" if want.loss_at_s is None else _seconds(settled_s(steady, simulate(steady, costs), want.loss_at_s))
    )
    held, flat = sweep(want, costs), sweep(steady, costs)
    return (
        name,
        f"{_short(calm.p50_s)} / {_short(calm.p99_s)}",
        f"{_short(burst.p99_s)} / {_short(burst.max_s)}" if burst else "",
        loss,
        f"{full}, {rate / 1e6:,.0f} M",
        f"{flat / 1e6:,.0f} M; {held / 1e6:,.0f} M with bursts",
    )


def sweep(want: Deployment, costs: Costs) -> float:
    """Return the largest rate at which the lags' p99 is under a window, 0 if none is; no host is lost meanwhile."""

    def keeps_up(rate: float) -> bool:
        trial = replace(want, ticks_per_s=rate, loss_at_s=None)
        if resources(trial, costs, rate)["snapshot in one message"] > 1.0:
            return False
        found = lags(simulate(trial, costs), np.ones(round(trial.duration_s / trial.window_s), np.bool_))
        return found is not None and found.p99_s < trial.window_s

    low, high = LOWEST_RATE, 1e10
    if not keeps_up(low):
        return 0.0
    for _ in range(_BISECTIONS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if keeps_up(middle) else (low, middle)
    return low


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if np.isfinite(value) else "not in this run"


def _short(value_s: float) -> str:
    return f"{value_s * 1e3:.0f} ms" if value_s < 1 else f"{value_s:.1f} s"
