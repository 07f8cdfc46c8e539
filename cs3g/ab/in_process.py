"""Scoring history in this process by the code that runs live, and what a model's graph was on one day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cs3g.ab.models import Contender
from cs3g_model.artifacts import runtime_of
from cs3g_model.protocol import StreamingModel
from cs3g_model.state import HiddenState
from pipeline.scoring import ScoringState, score_run
from topics.cuts import slice_graphs
from topics.runs import GraphRun, PredictionRun

__all__ = ["Scored", "score_history"]


@dataclass(frozen=True, slots=True)
class Scored:
    """What one model made of a history.

    Attributes
    ----------
    predictions
        Runs, in order.
    before
        The hidden state before the window that was asked for.
    """

    predictions: list[PredictionRun]
    before: HiddenState


def score_history(
    contender: Contender,
    snapshots: GraphRun,
    window: int,
    *,
    runtime: StreamingModel | None = None,
    windows_at_once: int = 64,
    on_progress: Callable[[int], None] | None = None,
) -> Scored:
    """Score all windows, and keep the state before one of them; how the run is cut changes no score.

    Parameters
    ----------
    contender
        The model.
    snapshots
        T windows.
    window
        In 0..T-1.
    runtime
        The model, where it is made already.
    windows_at_once
        Between two calls of `on_progress`, which gets the number of windows scored.
    """
    model = runtime_of(contender.artifact) if runtime is None else runtime
    n_windows = len(snapshots.ts_close)
    cuts: Sequence[int] = sorted({*range(0, n_windows, windows_at_once), window, n_windows})
    state = ScoringState.initial(model)
    predictions: list[PredictionRun] = []
    before = model.initial_state(len(snapshots.instrument_ids))
    for start, stop in pairwise(cuts):
        if start == window and start > 0:
            before = state.hidden
        run, state = score_run(model, slice_graphs(snapshots, start, stop), state)
        if run is not None:
            predictions.append(run)
        if on_progress is not None:
            on_progress(stop)
    return Scored(predictions, before)
