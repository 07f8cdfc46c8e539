"""A deployment from its first tick until its last window is predicted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.scaling_plan.arrivals import arrivals
from benchmarks.scaling_plan.costs import Costs
from benchmarks.scaling_plan.deployment import Deployment
from benchmarks.scaling_plan.engine import Engine
from benchmarks.scaling_plan.loss import HostLoss
from topics.types import Float64Array

STAGES = ("windows", "graphs", "predictions")


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes
    ----------
    ends_s
        (W,) ends of the windows.
    done_s
        (3, W, U) when a window had passed each of `STAGES`; the last with the client.
    n_predicted
        (W, U) how often it was predicted for the first time: 1.
    busy_s
        (3, C) seconds of work that each stage brought to each core; `graphs` without what a loss made it do again.
    backlog_s
        (S,) the longest backlog of any core, at each step's begin.
    full
        Resource and time at which a backlog was first longer than a window, before any loss; None if it never was.
    """

    ends_s: Float64Array
    done_s: Float64Array
    n_predicted: Float64Array
    busy_s: Float64Array
    backlog_s: Float64Array
    full: tuple[str, float] | None

    @property
    def lag_s(self) -> Float64Array:
        """(3, W, U) from a window's end until it had passed each stage."""
        return self.done_s - self.ends_s[:, None]


def simulate(want: Deployment, costs: Costs) -> Outcome:
    """Run a deployment from its first tick until its last window is predicted."""
    come = arrivals(want, costs)
    run = Engine(want, costs, come)
    events: list[tuple[float, int, str]] = [
        (step * come.step_s, 1, "step") for step in range(len(come.work_s))
    ]
    events += [(float(time_s), 0, "close") for time_s in come.close_at_s]
    loss = None
    if want.loss_at_s is not None:
        loss = HostLoss(run, want.loss_at_s)
        events += [
            (loss.at_s, 2, "lose"),
            (loss.at_s + want.session_timeout_s, 2, "pause"),
            (loss.moved_at_s, 2, "move"),
        ]
    backlog_s: list[float] = []
    for time_s, _, what in sorted(events):
        run.run_jobs(time_s)
        run.advance(time_s)
        if what == "step":
            backlog_s.append(float(run.backlog.max()))
            run.note_full(time_s)
            run.begin_step()
        elif what == "close":
            run.close_window()
        elif loss is not None:
            {"lose": loss.lose, "pause": loss.pause, "move": loss.move}[what]()
    run.rate[:] = 0.0
    run.run_jobs(np.inf)
    return Outcome(run.ends_s, run.done, run.n_predicted, run.busy, np.array(backlog_s), run.full)
