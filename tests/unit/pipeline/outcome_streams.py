"""Snapshots and predictions of a small generated market, and the outcomes stage folded over them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from pipeline.outcomes import SettledWindow, settle
from pipeline.outcomes_config import OutcomesConfig
from pipeline.outcomes_join import OutcomeJoin
from pipeline.outcomes_state import OutcomesState
from tests.unit.topics.factories import SIZE_NS, T0, make_graphs, make_predictions
from topics.control import Outcome
from topics.cuts import slice_graphs, slice_predictions
from topics.runs import GraphRun, PredictionRun
from topics.types import UNDEF_PRICE, Mode, Role

CONFIG = OutcomesConfig(reference_windows=6, recent_windows=4)


def prices(n_windows: int, n_instruments: int, *, seed: int = 0, presence: float = 0.8) -> GraphRun:
    """Snapshots whose closes are a random walk."""
    rng = np.random.default_rng(seed)
    run = make_graphs(n_windows, n_instruments, presence=presence, seed=seed)
    walk = 1e11 * np.exp(np.cumsum(rng.normal(0, 0.02, run.mask.shape), axis=0))
    return replace(run, close=np.where(run.mask, walk.astype(np.int64), UNDEF_PRICE))


def scores(graphs: GraphRun, role: Role, *, seed: int = 0, model_id: str = "m1") -> PredictionRun:
    """Predictions on the snapshots' own axes."""
    n_windows, n = graphs.mask.shape
    run = make_predictions(n_windows, n, presence=1.0, seed=seed, role=role, model_id=model_id)
    values = np.where(graphs.mask, run.scores, np.float32(0))
    order = np.argsort(np.where(graphs.mask, -values, np.inf), axis=1, kind="stable")
    ranks = np.where(graphs.mask, np.argsort(order, axis=1, kind="stable") + 1, 0).astype(np.int32)
    return replace(run, scores=values, ranks=ranks, mask=graphs.mask)


def with_models(run: PredictionRun, changes: Sequence[tuple[int, str]]) -> list[PredictionRun]:
    """Cut a role's predictions where another model takes over."""
    bounds = [start for start, _ in changes] + [len(run.ts_close)]
    return [
        replace(slice_predictions(run, start, stop), model_id=model_id)
        for (start, model_id), stop in zip(changes, bounds[1:], strict=True)
        if start < stop
    ]


@dataclass
class Stage:
    """The stage's core without a broker."""

    config: OutcomesConfig = CONFIG
    mode: Mode = "replay"
    state: OutcomesState = field(default_factory=OutcomesState)

    def __post_init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.windows: list[SettledWindow] = []
        self.restart(self.state.to_bytes())

    def restart(self, checkpoint: bytes) -> None:
        self.state = OutcomesState.from_bytes(checkpoint)
        self.join = OutcomeJoin(self.config, self.state, universe="test", size_ns=SIZE_NS, mode=self.mode)

    def take(self, *runs: GraphRun | PredictionRun) -> list[Outcome]:
        """Add runs, settle after each, and return what came of it."""
        found: list[Outcome] = []
        for run in runs:
            if isinstance(run, GraphRun):
                self.join.add_graphs(run)
            else:
                self.join.add_predictions(run)
            while (mature := self.join.take()) is not None:
                new, self.state = settle(mature, self.state, self.config, universe="test", size_ns=SIZE_NS)
                found += [outcome for window in new for outcome in window.outcomes]
                self.windows += new
        self.outcomes += found
        return found


def cut(run: GraphRun | PredictionRun, at: Iterable[int]) -> list[GraphRun | PredictionRun]:
    """Cut a run of either kind at some windows."""
    bounds = sorted({0, *(min(place, len(run.ts_close)) for place in at), len(run.ts_close)})
    pieces: list[GraphRun | PredictionRun] = []
    for start, stop in pairwise(bounds):
        if isinstance(run, GraphRun):
            pieces.append(slice_graphs(run, start, stop))
        else:
            pieces.append(slice_predictions(run, start, stop))
    return pieces


def ts(window: int) -> int:
    """End of a window, ns."""
    return T0 + (window + 1) * SIZE_NS
