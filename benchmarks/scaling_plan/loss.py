"""A worker host dies: its partitions and sequences wait for the session timeout, then move and catch up."""

from __future__ import annotations

import heapq

import numpy as np

from benchmarks.scaling_plan.costs import CHECKPOINT_EVERY_S
from benchmarks.scaling_plan.engine import Engine


class HostLoss:
    """What the loss of host 0 does to a run; `lose`, `pause` and `move` are to be called at their times.

    Parameters
    ----------
    run
        Mutated.
    at_s
        When the host dies.
    """

    def __init__(self, run: Engine, at_s: float) -> None:
        want = run.want
        self._run = run
        self.at_s = at_s
        self.moved_at_s = at_s + want.session_timeout_s + want.rebalance_s
        self._dead = np.arange(want.cores) % want.hosts == 0
        self._lost = self._dead[want.core_of_partition]
        self._lost_sequences = self._dead[want.core_of_sequence]
        lost_of_universe = self._lost.reshape(want.universes, -1).any(axis=1)
        self._affected = lost_of_universe | self._lost_sequences
        self._of_affected = np.repeat(self._affected, want.partitions_per_universe)

    def lose(self) -> None:
        """End the host: what its cores had not finished is lost with them."""
        run = self._run
        run.moved_at_s = self.moved_at_s
        closed = run.closed[:, self._lost]
        run.closed[:, self._lost] = np.where(closed > self.at_s, np.inf, closed)
        incomplete = ~np.isfinite(run.closed.reshape(len(closed), run.want.universes, -1).max(axis=2))
        # Predictions that a dead core had only begun, and windows whose partitions are to be closed again.
        undone = self._lost_sequences & (run.done[2] - run.hop_s > self.at_s) & np.isfinite(run.done[2])
        run.n_predicted[undone] -= 1
        run.done[1:, undone] = np.inf
        run.handed &= ~(undone | incomplete)
        run.ready = [one for one in run.ready if run.handed[one[1], one[2]]]
        heapq.heapify(run.ready)
        run.core_of[self._lost] = run.sequence_on[self._lost_sequences] = -1
        run.backlog[self._dead] = run.rate[self._dead] = 0.0

    def pause(self) -> None:
        """Let the groups that lost a member rebalance: nobody in them works meanwhile."""
        run = self._run
        run.backlog[np.unique(run.core_of[self._of_affected & ~self._lost])] += run.want.rebalance_s

    def move(self) -> None:
        """Give partitions and sequences to the least loaded survivors, which catch up."""
        run, want = self._run, self._run.want
        takes_ticks = (np.arange(want.cores) >= want.sequence_cores) & ~self._dead
        planned = np.zeros(want.cores)
        np.add.at(planned, run.core_of[~self._lost], want.share_of_partition[~self._lost])
        for p in np.flatnonzero(self._lost):
            core = int(np.where(takes_ticks, planned, np.inf).argmin())
            run.core_of[p] = core
            planned[core] += want.share_of_partition[p]
        self._read_again()
        for core in np.unique(run.core_of[self._lost]):
            self._catch_up(int(core))
        self._move_sequences()
        for window in range(run.n_closed):
            run.hand_on(window, self._affected)
        run.set_rate()

    def _move_sequences(self) -> None:
        run, want = self._run, self._run.want
        jobs = np.where(self._dead, np.inf, 0.0)
        np.add.at(jobs, run.sequence_on[~self._lost_sequences], 1.0)
        # What came after the last checkpoint is made again, to the same bytes.
        window_s = run.costs.sequence_s(want.per_universe, want.partitions_per_universe, want.window_s)
        again_s = CHECKPOINT_EVERY_S / want.window_s * window_s
        for u in np.flatnonzero(self._lost_sequences):
            own = run.core_of.reshape(want.universes, -1)[u]
            allowed = np.arange(want.sequence_cores) if want.placement == "apart" else own
            if self._dead[allowed].all():
                allowed = own
            core = int(allowed[jobs[allowed].argmin()])
            jobs[core] += 1
            run.sequence_on[u] = core
            run.backlog[core] += again_s

    def _read_again(self) -> None:
        # Survivors of a group that rebalances forget their open window: its ticks are unacknowledged.
        run = self._run
        again = self._of_affected & ~self._lost
        since_s = run.come.close_at_s[run.n_closed - 1] if run.n_closed else 0.0
        work = run.come.work_at(self.moved_at_s) - run.come.work_at(max(0.0, since_s - run.want.commit_s))
        extra = np.bincount(run.core_of[again], work[again], run.want.cores)
        run.backlog += extra
        run.busy[0] += extra

    def _catch_up(self, core: int) -> None:
        # Partitions that moved take turns, so that their windows close together, oldest first.
        run, come = self._run, self._run.come
        mine = np.flatnonzero(self._lost & (run.core_of == core))
        missing = np.flatnonzero(np.isinf(run.closed[: run.n_closed, mine]).any(axis=1))
        n_kept = int(missing[0]) if len(missing) else run.n_closed
        since_s = come.close_at_s[n_kept - 1] if n_kept else 0.0
        begun = come.work_at(max(0.0, since_s - run.want.commit_s))[mine].sum()
        base, closing = run.backlog[core], 0.0
        for window in missing:
            closing += run.close_s[mine].sum()
            work = come.work_at(come.close_at_s[window])[mine].sum() - begun
            open_ = mine[np.isinf(run.closed[window, mine])]
            run.closed[window, open_] = self.moved_at_s + base + work + closing
        total = come.work_at(self.moved_at_s)[mine].sum() - begun + closing
        run.backlog[core] = base + total
        run.busy[0, core] += total
