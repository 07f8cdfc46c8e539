"""When the ticks come to the workers: rates with bursts, then the brokers' links, first in first out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.scaling_plan.costs import MESSAGE_TICKS, Costs
from benchmarks.scaling_plan.deployment import MESSAGE_WAIT_S, Deployment, link_load, tick_work_s
from topics.types import Float64Array

STEPS_PER_WINDOW: Final = 10
"""Rates are constant for a tenth of a window."""


@dataclass(frozen=True)
class Arrivals:
    """What reaches the workers.

    Attributes
    ----------
    step_s
        Length of a step.
    work_s
        (S + 1, P) seconds of a core that have come for each partition since the start, at each step's begin.
    close_at_s
        (W,) when a worker learns that a window has ended.
    link_delay_s
        (S',) what the brokers' links add, at each step's begin as ticks are sent.
    """

    step_s: float
    work_s: Float64Array
    close_at_s: Float64Array
    link_delay_s: Float64Array

    def work_at(self, time_s: float) -> Float64Array:
        """Return (P,) the work that has come until then."""
        at = min(time_s / self.step_s, len(self.work_s) - 1.0)
        step = min(int(at), len(self.work_s) - 2)
        before, after = self.work_s[step], self.work_s[step + 1]
        come: Float64Array = before + (after - before) * (at - step)
        return come


def arrivals(want: Deployment, costs: Costs) -> Arrivals:
    """Return the arrivals of a deployment's ticks; the same seed gives the same."""
    windows = round(want.duration_s / want.window_s)
    n_steps, step_s = windows * STEPS_PER_WINDOW, want.window_s / STEPS_PER_WINDOW
    starts_s = np.arange(n_steps) * step_s
    in_burst = (starts_s >= want.burst_at_s) & (starts_s < want.burst_at_s + want.burst_s)
    rate = want.ticks_per_s * np.where(in_burst, want.burst, 1.0)
    noise = _noise(want, (n_steps, want.partitions))
    ticks = rate[:, None] * step_s * want.share_of_partition * noise
    work = np.zeros((n_steps + 1, want.partitions))
    np.cumsum(tick_work_s(costs, ticks, step_s), axis=0, out=work[1:])

    busy = np.array([max(link_load(want, costs, r)) for r in ticks.sum(axis=1) / step_s])
    delay_s = np.zeros(n_steps + 1)
    for step in range(n_steps):
        delay_s[step + 1] = max(0.0, delay_s[step] + (busy[step] - 1.0) * step_s)
    # First in, first out: what was sent at a time is out after the backlog of that time.
    released_s = np.arange(n_steps + 1) * step_s + delay_s
    n_until = int(np.ceil(released_s[-1] / step_s + 1e-9)) + 1
    sent = np.interp(np.arange(n_until) * step_s, released_s, np.arange(n_steps + 1.0))
    step = np.minimum(sent.astype(np.int64), n_steps - 1)
    come = work[step] + (work[step + 1] - work[step]) * (sent - step)[:, None]
    # A window ends for a worker with the message after it: full, or sent as it has waited long enough.
    fill_s = min(MESSAGE_WAIT_S, MESSAGE_TICKS * want.partitions / want.ticks_per_s)
    return Arrivals(step_s, come, released_s[STEPS_PER_WINDOW::STEPS_PER_WINDOW] + fill_s, delay_s)


def _noise(want: Deployment, shape: tuple[int, int]) -> Float64Array:
    if want.jitter == 0.0:
        return np.ones(shape)
    generator = np.random.default_rng([want.seed, 1])
    noise: Float64Array = generator.gamma(want.jitter**-2, want.jitter**2, shape)
    return noise
