"""Which model scores which windows: models change at a boundary, never within a window.

A swap (boundary, model) says that windows which end after the boundary are the model's. Swaps are part of the
scoring state, so that a worker that is killed decides nothing anew. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from cs3g_model.protocol import StreamingModel
from pipeline.scoring import ScoringState, score_run
from pipeline.swaps import Swap
from topics.control import ModelAnnouncement
from topics.cuts import slice_graphs
from topics.runs import GraphRun

__all__ = [
    "Part",
    "is_decided",
    "next_part",
    "refuse",
    "schedule",
    "schedule_configured",
    "take_over",
    "warm",
    "without_next_swap",
]


@dataclass(frozen=True, slots=True)
class Part:
    """What to do next with a run.

    Attributes
    ----------
    windows
        To be scored by the present model; None if none of them is new.
    swap
        The model to change to after that; None if the run is used up.
    rest
        The windows after the boundary; None if there is no swap.
    """

    windows: GraphRun | None
    swap: Swap | None = None
    rest: GraphRun | None = None


def is_decided(state: ScoringState, announcement: ModelAnnouncement) -> bool:
    """Return whether an announcement, or a later one, was heeded or refused before."""
    return 0 < announcement.seq <= state.decided


def schedule(state: ScoringState, announcement: ModelAnnouncement, *, offset: int = 0) -> ScoringState:
    """Let an announced model serve from the first window that is neither too early nor published already.

    Whatever earlier announcements wanted after that boundary is void. A model that would serve there anyway
    changes nothing.

    Parameters
    ----------
    announcement
        Of the state's universe and role; one that is decided already is passed over.
    offset
        Where the announcement lies on its topic.
    """
    if is_decided(state, announcement):
        return state
    boundary_ns = max(announcement.since_ts_close, state.published, state.ts_close)
    kept = tuple(swap for swap in state.swaps if swap.boundary_ns < boundary_ns)
    serving = kept[-1].model_id if kept else state.model_id
    decided = max(state.decided, announcement.seq)
    if serving == announcement.model_id:
        activation = state.activation if kept else announcement.seq
        return replace(state, swaps=kept, decided=decided, activation=activation)
    swap = Swap(boundary_ns, announcement.model_id, announcement.sha256, announcement.seq, offset)
    return replace(state, swaps=(*kept, swap), decided=decided)


def refuse(state: ScoringState, announcement: ModelAnnouncement) -> ScoringState:
    """Remember that an announced model may not serve, so that it is not tried again."""
    return replace(state, decided=max(state.decided, announcement.seq))


def schedule_configured(state: ScoringState, model_id: str) -> ScoringState:
    """Let a worker's configured model take over from the one that its checkpoint was made with.

    An announced model keeps serving, since an announcement says more than a setting.
    """
    if state.activation is not None or state.model_id == model_id:
        return state
    boundary_ns = max(state.published, state.ts_close)
    if any(swap.boundary_ns <= boundary_ns for swap in state.swaps):
        return state  # an announced model is about to serve
    return replace(state, swaps=(Swap(boundary_ns, model_id, "", None, 0), *state.swaps))


def next_part(run: GraphRun, state: ScoringState) -> Part:
    """Return the windows of a run that the present model scores, and what comes after them.

    Parameters
    ----------
    run
        Windows with ts_close <= state.ts_close are left out.
    """
    start = int(np.searchsorted(run.ts_close, state.ts_close, side="right"))
    stop = n_windows = len(run.ts_close)
    if state.swaps:
        stop = max(start, int(np.searchsorted(run.ts_close, state.swaps[0].boundary_ns, side="right")))
    windows = slice_graphs(run, start, stop) if stop > start else None
    if stop == n_windows:
        return Part(windows)
    return Part(windows, state.swaps[0], slice_graphs(run, stop, n_windows))


def warm(
    model: StreamingModel, runs: Iterable[GraphRun], *, boundary_ns: int, n_windows: int
) -> ScoringState:
    """Fold a model over the last snapshots before a boundary, from its initial state.

    Parameters
    ----------
    runs
        Of the topic, in its order; windows may be repeated, and cut as they like.
    boundary_ns
        Windows that end after it are left out.
    n_windows
        How many of the others are folded, the latest ones; fewer if there are not so many.

    Returns
    -------
    The model's state after them; its `seen` is how many there were.

    Raises
    ------
    NonFiniteScoreError
        The model returned NaN or infinity.
    """
    pieces = list(runs)
    ends = np.unique(np.concatenate([np.empty(0, np.int64), *(piece.ts_close for piece in pieces)]))
    ends = ends[ends <= boundary_ns]
    state = ScoringState.initial(model)
    if n_windows == 0 or not len(ends):
        return state
    state = replace(state, ts_close=int(ends[-n_windows]) - 1 if len(ends) > n_windows else state.ts_close)
    for piece in pieces:
        stop = int(np.searchsorted(piece.ts_close, boundary_ns, side="right"))
        _, state = score_run(model, slice_graphs(piece, 0, stop), state)
    return state


def take_over(state: ScoringState, warmed: ScoringState) -> ScoringState:
    """Return the state of the next swap's model at its boundary, numbered on from the model before it.

    Parameters
    ----------
    state
        Of the model before, after the last window up to the boundary.
    warmed
        What `warm` returned for the model of `state.swaps[0]`.
    """
    swap, *later = state.swaps
    return replace(
        warmed,
        ts_close=state.ts_close,
        seq=state.seq,
        activation=swap.activation,
        decided=state.decided,
        swaps=tuple(later),
        published=state.published,
        since_offset=state.since_offset,
    )


def without_next_swap(state: ScoringState) -> ScoringState:
    """Return the state after the next swap's model was refused: the present one goes on."""
    return replace(state, swaps=state.swaps[1:])
