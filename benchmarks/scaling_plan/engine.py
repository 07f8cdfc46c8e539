"""The cores of the workers: ticks flow, windows and sequences are jobs, all first in first out.

A core's backlog is exact between events: ticks of all its partitions come at a constant rate within a step, and work
at one second a second. Jobs go to the end of the backlog of the time at which they are ready.
"""

from __future__ import annotations

import heapq

import numpy as np

from benchmarks.scaling_plan.arrivals import Arrivals
from benchmarks.scaling_plan.costs import REFRESH_WINDOWS, Costs
from benchmarks.scaling_plan.deployment import Deployment
from topics.types import BoolArray, Float64Array


class Engine:
    """A run in progress; mutates self."""

    def __init__(self, want: Deployment, costs: Costs, come: Arrivals) -> None:
        self.want, self.costs, self.come = want, costs, come
        self.ends_s: Float64Array = want.window_s * np.arange(1.0, len(come.close_at_s) + 1.0)
        shape = (len(self.ends_s), want.universes)
        self.backlog: Float64Array = np.zeros(want.cores)
        self.rate: Float64Array = np.zeros(want.cores)
        self.at: Float64Array = np.zeros(want.cores)
        self.core_of = want.core_of_partition.copy()  # -1: nobody works on it
        self.sequence_on = want.core_of_sequence.copy()
        self.closed = np.full((len(self.ends_s), want.partitions), np.inf)
        self.handed = np.zeros(shape, np.bool_)
        self.done: Float64Array = np.full((3, *shape), np.inf)
        self.n_predicted: Float64Array = np.zeros(shape)
        self.busy: Float64Array = np.zeros((3, want.cores))
        self.ready: list[tuple[float, int, int]] = []  # heap of (time, window, universe)
        self.now_s, self.n_closed, self.step = 0.0, 0, 0
        self.moved_at_s = np.inf
        self.full: tuple[str, float] | None = None
        # One hop to the leader and on to the reader, another until the replicas have it.
        self.hop_s = costs.hop_s * (2.0 if want.replication > 1 else 1.0)
        self.close_s = want.rows_of_partition * costs.close_row_s + costs.sent_s

    def advance(self, time_s: float) -> None:
        """Let all cores work until then."""
        span = time_s - self.at
        self.backlog = np.maximum(0.0, self.backlog + (self.rate - 1.0) * span)
        self.at[:] = self.now_s = time_s

    def run_jobs(self, until_s: float) -> None:
        """Start every sequence job that is ready before then."""
        while self.ready and self.ready[0][0] < until_s:
            ready_s, window, universe = heapq.heappop(self.ready)
            if self.sequence_on[universe] < 0:
                heapq.heappush(self.ready, (self.moved_at_s, window, universe))
                continue
            self._run_job(ready_s, window, universe)

    def _run_job(self, ready_s: float, window: int, universe: int) -> None:
        core, costs, n = self.sequence_on[universe], self.costs, self.want.per_universe
        graph_s = costs.graph_s(n, self.want.partitions_per_universe, refreshes=window % REFRESH_WINDOWS == 0)
        score_s, later_s = costs.score_s(n), costs.checkpoint_s(n, self.want.window_s)
        span = max(0.0, ready_s - self.at[core])
        waiting = max(0.0, self.backlog[core] + (self.rate[core] - 1.0) * span)
        self.at[core] = max(self.at[core], ready_s)
        self.backlog[core] = waiting + graph_s + score_s + later_s
        graphs_at = ready_s + waiting + graph_s
        # Live, graphs hands over to scoring in memory, see ADR 0011; a client takes one hop.
        self.done[1:, window, universe] = graphs_at, graphs_at + score_s + self.hop_s
        self.n_predicted[window, universe] += 1
        self.busy[1, core] += graph_s + later_s
        self.busy[2, core] += score_s

    def begin_step(self) -> None:
        """Take the next step's rates."""
        self.step += 1
        self.set_rate()
        self.busy[0] += self.rate * self.come.step_s

    def set_rate(self) -> None:
        """Let ticks come to the cores that partitions are on now."""
        self.rate[:] = 0.0
        if self.step < len(self.come.work_s):
            live = self.core_of >= 0
            work = self.come.work_s[self.step] - self.come.work_s[self.step - 1]
            np.add.at(self.rate, self.core_of[live], work[live] / self.come.step_s)

    def close_window(self) -> None:
        """Have every worker close a window: behind the ticks that it has, all its partitions at once."""
        window, live = self.n_closed, self.core_of >= 0
        work = np.bincount(self.core_of[live], self.close_s[live], self.want.cores)
        self.backlog += work
        self.busy[0] += work
        done = self.now_s + self.backlog
        self.closed[window, live] = done[self.core_of[live]]
        self.n_closed += 1
        self.hand_on(window, np.ones(self.want.universes, np.bool_))

    def hand_on(self, window: int, universes: BoolArray) -> None:
        """Give a window to the sequences that have all its partitions."""
        complete_s = self.closed[window].reshape(self.want.universes, -1).max(axis=1)
        for u in np.flatnonzero(universes & np.isfinite(complete_s) & ~self.handed[window]):
            self.handed[window, u] = True
            self.done[0, window, u] = complete_s[u]
            ready_s = max(complete_s[u] + self.hop_s, self.now_s)
            heapq.heappush(self.ready, (float(ready_s), window, int(u)))

    def note_full(self, time_s: float) -> None:
        """Remember the first resource whose backlog is longer than a window."""
        if self.full is not None or np.isfinite(self.moved_at_s):
            return
        delay_s = self.come.link_delay_s[min(self.step, len(self.come.link_delay_s) - 1)]
        worst = int(self.backlog.argmax())
        if delay_s > self.want.window_s:
            self.full = ("brokers' links", time_s)
        elif self.backlog[worst] > self.want.window_s:
            of_ticks = self.busy[0, worst] > self.busy[1:, worst].sum()
            self.full = ("ticks on a core" if of_ticks else "sequence of a universe", time_s)
