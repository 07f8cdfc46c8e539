from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from cs3g_model.protocol import StreamingModel
from cs3g_model.snapshots import Snapshots
from cs3g_model.state import HiddenState
from pipeline.errors import GraphRunError, NonFiniteScoreError, StateDecodeError, StateMismatchError
from pipeline.scoring import ScoringState, rank_scores, score_run
from tests.unit.pipeline.models import ExponentialMean
from tests.unit.pipeline.snapshots import graph_run
from topics.cuts import slice_graphs

MODEL = ExponentialMean()


@dataclass(frozen=True)
class Broken(ExponentialMean):
    """Divides by zero for one instrument in one window."""

    def step_many(self, snapshots: Snapshots, state: HiddenState) -> tuple[NDArray[np.float32], HiddenState]:
        scores, state = super().step_many(snapshots, state)
        t, n = np.argwhere(snapshots.mask)[-1]
        scores[t, n] = np.inf
        return scores, state


def test_the_test_model_is_a_streaming_model() -> None:
    assert isinstance(MODEL, StreamingModel)


def test_predictions_carry_the_run_and_the_model() -> None:
    run = graph_run()
    predictions, state = score_run(MODEL, run, ScoringState.initial(MODEL))
    assert predictions is not None
    assert (predictions.universe, predictions.role, predictions.model_id) == ("u", "student", MODEL.model_id)
    assert predictions.symbols == run.symbols
    assert predictions.ts_close.tolist() == run.ts_close.tolist()
    assert predictions.warmup.tolist() == [True] * 3 + [False] * (len(run.ts_close) - 3)
    assert (state.ts_close, state.seq) == (run.ts_close[-1], len(run.ts_close))
    assert np.isfinite(predictions.scores).all()
    assert not predictions.scores[~run.mask].any()
    assert not predictions.ranks[~run.mask].any()


def test_ranks_order_the_present_and_ties_stay_in_place() -> None:
    scores = np.array([[0.5, 2.0, 0.5, 9.0, -1.0], [0.0, -0.0, 0.0, 0.0, 0.0]], np.float32)
    mask = np.array([[1, 1, 1, 0, 1], [0, 0, 1, 1, 0]], np.bool_)
    assert rank_scores(scores, mask).tolist() == [[2, 1, 3, 0, 4], [0, 0, 1, 2, 0]]
    assert rank_scores(scores, mask).dtype == np.int32


def test_windows_scored_before_are_dropped() -> None:
    run = graph_run()
    whole, _ = score_run(MODEL, run, ScoringState.initial(MODEL))
    _, state = score_run(MODEL, slice_graphs(run, 0, 5), ScoringState.initial(MODEL))
    rest, state = score_run(MODEL, run, state)
    assert whole is not None
    assert rest is not None
    assert (rest.seq, rest.ts_close[0]) == (5, run.ts_close[5])
    assert rest.scores.tobytes() == whole.scores[5:].tobytes()
    assert score_run(MODEL, run, state)[0] is None


def test_scores_that_are_not_finite_are_never_handed_on() -> None:
    run, model = graph_run(), Broken()
    with pytest.raises(NonFiniteScoreError, match=r"scored 'S\d' inf in the window that ends at") as caught:
        score_run(model, run, ScoringState.initial(model))
    assert (caught.value.model_id, caught.value.ts_close) == (model.model_id, run.ts_close[-1])


def test_the_state_of_another_model_is_refused() -> None:
    other = replace(MODEL, model_id="f" * 16)
    with pytest.raises(StateMismatchError, match="warm up again") as caught:
        score_run(other, graph_run(), ScoringState.initial(MODEL))
    assert (caught.value.expected, caught.value.actual) == (other.model_id, MODEL.model_id)
    with pytest.raises(StateMismatchError):
        ScoringState.from_bytes(ScoringState.initial(MODEL).to_bytes(), other)


def test_a_run_without_the_known_instruments_is_refused() -> None:
    run = graph_run()
    _, state = score_run(MODEL, slice_graphs(run, 0, 5), ScoringState.initial(MODEL))
    stranger = replace(run, instrument_ids=run.instrument_ids + np.uint32(1))
    with pytest.raises(GraphRunError, match="lacks instrument 1"):
        score_run(MODEL, stranger, state)


def test_a_checkpoint_scores_on_as_if_nothing_had_happened() -> None:
    run = graph_run()
    _, state = score_run(MODEL, slice_graphs(run, 0, 9), ScoringState.initial(MODEL))
    restored = ScoringState.from_bytes(state.to_bytes(), MODEL)
    a, b = (score_run(MODEL, run, s)[0] for s in (state, restored))
    assert a is not None
    assert b is not None
    assert a.scores.tobytes() == b.scores.tobytes()
    assert (restored.ts_close, restored.seq, restored.model_id) == (state.ts_close, 9, MODEL.model_id)


@pytest.mark.parametrize("cut", [0, 7, 60, -1])
def test_a_torn_checkpoint_is_refused(cut: int) -> None:
    _, state = score_run(MODEL, graph_run(), ScoringState.initial(MODEL))
    with pytest.raises(StateDecodeError):
        ScoringState.from_bytes(state.to_bytes()[:cut], MODEL)
