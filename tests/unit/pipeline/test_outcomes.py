"""Outcomes against scipy and hand-made cases: labels, agreement, warm-up, silent roles, duplicates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from pipeline.errors import ConfigError, GraphRunError, StateDecodeError
from pipeline.outcomes_config import OutcomesConfig, load_outcomes_config
from pipeline.outcomes_join import OutcomeJoin
from pipeline.outcomes_state import OutcomesState
from tests.unit.pipeline.outcome_streams import CONFIG, SIZE_NS, Stage, cut, prices, scores, ts, with_models
from topics.cuts import slice_graphs, slice_predictions
from topics.types import UNDEF_PRICE

WINDOWS, INSTRUMENTS = 30, 9


@pytest.mark.parametrize("horizon", [1, 3])
def test_correlations_are_scipys_over_instruments_with_score_and_label(horizon: int) -> None:
    graphs = prices(WINDOWS, INSTRUMENTS)
    student, teacher = scores(graphs, "student"), scores(graphs, "teacher", seed=5)
    stage = Stage(CONFIG.model_copy(update={"horizon_windows": horizon}))
    found = stage.take(graphs, student, teacher)
    expected_order = [(ts(t), role) for t in range(WINDOWS - horizon) for role in ("student", "teacher")]
    assert [(one.ts_close, one.role) for one in found] == expected_order
    assert [window.matured_ns for window in stage.windows] == [
        ts(t + horizon) for t in range(WINDOWS - horizon)
    ]
    for one in found[2:]:  # the first window is in the warm-up
        t = (one.ts_close - ts(0)) // SIZE_NS
        run = student if one.role == "student" else teacher
        both = graphs.mask[t] & graphs.mask[t + horizon]
        label = graphs.close[t + horizon, both] / graphs.close[t, both] - 1
        assert one.horizon_ns == horizon * SIZE_NS
        assert one.n_instruments == both.sum()
        if both.sum() >= 3:
            assert one.ic == pytest.approx(pearsonr(run.scores[t, both], label).statistic, abs=1e-12)
            assert one.rank_ic == pytest.approx(spearmanr(run.scores[t, both], label).statistic, abs=1e-12)
        there = graphs.mask[t]
        expected = spearmanr(student.scores[t, there], teacher.scores[t, there]).statistic
        assert one.agreement == pytest.approx(expected, abs=1e-12)


def test_a_jump_beyond_the_limit_counts_as_the_limit() -> None:
    graphs = prices(2, 3, presence=1.0)
    close = np.array([[100, 100, 100], [300, 140, 90]], np.int64) * 10**9
    student = replace(scores(graphs, "student"), warmup=np.zeros(2, np.bool_))
    one_role = CONFIG.model_copy(update={"roles": ("student",)})
    (found,) = Stage(one_role).take(replace(graphs, close=close), student)
    label = np.array([0.4, 0.4, -0.1])
    assert found.ic == pytest.approx(np.corrcoef(student.scores[0], label)[0, 1], abs=1e-12)
    assert found.agreement is None


def test_a_window_in_the_warm_up_says_nothing_but_who_and_when() -> None:
    graphs = prices(4, 5, presence=1.0)
    found = Stage().take(graphs, scores(graphs, "student"), scores(graphs, "teacher"))
    assert (found[0].ts_close, found[0].n_instruments) == (ts(0), 5)
    for one in found[:2]:
        assert (one.ic, one.rank_ic, one.agreement, one.psi_features, one.psi_scores) == (None,) * 5
    assert found[2].ic is not None


def test_a_window_is_mature_only_with_its_label_and_every_role() -> None:
    graphs = prices(6, 5)
    student, teacher = scores(graphs, "student"), scores(graphs, "teacher")
    stage = Stage()
    assert stage.take(graphs, student) == []
    assert {one.ts_close for one in stage.take(slice_predictions(teacher, 0, 2))} == {ts(0), ts(1)}
    # The teacher's third window never comes: once its fourth is there, nobody waits for it.
    passed = stage.take(slice_predictions(teacher, 3, 6))
    assert [(one.ts_close, one.role) for one in passed][:3] == [
        (ts(2), "student"),
        (ts(3), "student"),
        (ts(3), "teacher"),
    ]
    assert passed[0].agreement is None
    assert max(one.ts_close for one in passed) == ts(4)


def test_what_comes_again_counts_once_and_the_first_wins() -> None:
    graphs = prices(8, 5)
    student = scores(graphs, "student")
    conflicting = replace(student, scores=-student.scores)
    one_role = CONFIG.model_copy(update={"roles": ("student",)})
    expected = Stage(one_role).take(graphs, student)
    stage = Stage(one_role)
    stage.take(slice_predictions(student, 0, 5), slice_predictions(conflicting, 2, 6), graphs)
    stage.take(
        slice_graphs(graphs, 3, 8), slice_predictions(conflicting, 0, 4), slice_predictions(student, 6, 8)
    )
    assert [one.ts_close for one in stage.outcomes] == [one.ts_close for one in expected]
    same = [one == other for one, other in zip(stage.outcomes, expected, strict=True)]
    assert same == [True] * 5 + [False] + [True]  # the sixth window came from the conflicting run first


def test_live_a_silent_role_is_given_up_once_another_is_far_ahead() -> None:
    graphs = prices(30, 5)
    student, teacher = scores(graphs, "student"), scores(graphs, "teacher")
    stage = Stage(CONFIG.model_copy(update={"patience_windows": 4}), mode="live")
    found = stage.take(graphs, slice_predictions(teacher, 0, 3), slice_predictions(student, 0, 12))
    # The student has predicted four windows after the eighth, so up to there the teacher is given up.
    assert [one.ts_close for one in found if one.role == "student"] == [ts(t) for t in range(7)]
    assert {one.ts_close for one in found if one.role == "teacher"} == {ts(0), ts(1), ts(2)}
    # What it says of those comes too late; from the eighth on it is heard.
    found = stage.take(slice_predictions(teacher, 3, 9))
    both = [(ts(t), role) for t in (7, 8) for role in ("student", "teacher")]
    assert [(one.ts_close, one.role) for one in found] == both
    # The student is given up like any other.
    found = stage.take(slice_predictions(teacher, 9, 20))
    assert found[-1].ts_close == ts(14)
    assert {one.role for one in found[-3:]} == {"teacher"}


def test_live_who_is_given_up_does_not_depend_on_the_snapshots() -> None:
    graphs = prices(40, 5)
    student, teacher = scores(graphs, "student"), scores(graphs, "teacher")
    config = CONFIG.model_copy(update={"patience_windows": 4})
    predictions = [
        slice_predictions(teacher, 0, 3),
        slice_predictions(student, 0, 14),
        slice_predictions(teacher, 3, 12),  # too late for the windows before the tenth
        slice_predictions(student, 14, 40),
        slice_predictions(teacher, 37, 39),
    ]
    first = Stage(config, mode="live").take(graphs, *predictions)
    last = Stage(config, mode="live").take(*predictions, graphs)
    assert first == last
    roles = {one.ts_close: one.role for one in first}  # the teacher's is the later of a window
    assert [t for t in range(39) if roles.get(ts(t)) == "teacher"] == [0, 1, 2, 9, 10, 11, 37, 38]


def test_a_replay_waits_for_ever() -> None:
    graphs = prices(40, 5)
    stage = Stage(CONFIG.model_copy(update={"patience_windows": 1}))
    assert stage.take(graphs, scores(graphs, "student")) == []
    assert stage.join.n_waiting == 40


def test_drift_begins_anew_with_another_model() -> None:
    graphs = prices(40, 30, presence=1.0)
    student = scores(graphs, "student")
    one_role = CONFIG.model_copy(update={"roles": ("student",)})
    found = Stage(one_role).take(graphs, *with_models(student, [(0, "m1"), (20, "m2")]))
    # One window of warm-up, six of reference, and the span of four: the first index is of the eleventh window.
    known = [t for t, one in enumerate(found) if one.psi_features is not None]
    assert known == [*range(10, 20), *range(29, 39)]
    assert known == [t for t, one in enumerate(found) if one.psi_scores is not None]


def test_features_that_move_are_seen_in_the_index() -> None:
    graphs = prices(60, 40, presence=1.0)
    features = graphs.features.copy()
    features[40:, :, 1] = features[40:, :, 1] * 3
    student = scores(graphs, "student")
    one_role = CONFIG.model_copy(update={"roles": ("student",)})
    still = Stage(one_role).take(graphs, student)
    moved = Stage(one_role).take(replace(graphs, features=features), student)
    assert still[:40] == moved[:40]
    assert still[50].psi_features is not None
    assert moved[50].psi_features is not None
    assert still[50].psi_features < 0.25 < moved[50].psi_features
    assert still[50].psi_scores == moved[50].psi_scores


def test_others_universes_and_roles_are_not_looked_at() -> None:
    graphs = prices(6, 5)
    one_role = CONFIG.model_copy(update={"roles": ("student",)})
    stage = Stage(one_role)
    assert stage.join.add_graphs(replace(graphs, universe="other")) == 0
    assert stage.join.add_predictions(scores(graphs, "teacher")) == 0
    assert stage.join.n_waiting == 0
    assert len(stage.take(graphs, scores(graphs, "student"))) == 5


def test_windows_of_another_length_are_refused() -> None:
    join = OutcomeJoin(CONFIG, OutcomesState(), universe="test", size_ns=7, mode="replay")
    graphs = prices(2, 3)
    with pytest.raises(GraphRunError, match="`window_size_ns` is 7"):
        join.add_graphs(graphs)
    with pytest.raises(GraphRunError, match="predictions of windows of 1000000000 ns"):
        join.add_predictions(scores(graphs, "student"))


def test_snapshots_of_other_features_are_refused() -> None:
    graphs = prices(4, 3)
    stage = Stage()
    stage.take(slice_graphs(graphs, 0, 2))
    narrow = replace(slice_graphs(graphs, 2, 4), features=graphs.features[2:, :, :1])
    with pytest.raises(GraphRunError, match="snapshots of 1 features cannot follow those of 3"):
        stage.take(narrow)


def test_an_instrument_without_a_price_has_no_label() -> None:
    graphs = prices(3, 4, presence=1.0)
    close = graphs.close.copy()
    close[1, 2] = UNDEF_PRICE
    one_role = CONFIG.model_copy(update={"roles": ("student",)})
    found = Stage(one_role).take(replace(graphs, close=close), scores(graphs, "student"))
    assert [one.n_instruments for one in found] == [3, 3]


def test_long_histories_settle_in_pieces() -> None:
    graphs = prices(1_300, 4)
    student = scores(graphs, "student")
    one_role = CONFIG.model_copy(update={"roles": ("student",)})
    whole = Stage(one_role).take(*cut(student, [700]), graphs)
    pieces = Stage(one_role).take(*cut(student, range(0, 1300, 97)), *cut(graphs, range(0, 1300, 131)))
    assert whole == pieces
    assert len(whole) == 1_299


def test_a_checkpoint_of_something_else_is_refused() -> None:
    stage = Stage()
    graphs = prices(20, 5)
    stage.take(graphs, scores(graphs, "student"), scores(graphs, "teacher"))
    data = stage.state.to_bytes()
    again = OutcomesState.from_bytes(data)
    assert again.to_bytes() == data
    assert len(data) < 40_000
    with pytest.raises(StateDecodeError):
        OutcomesState.from_bytes(data[:-9])


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CS3G_OUTCOMES_ROLES", "student, teacher")
    monkeypatch.setenv("CS3G_OUTCOMES_HORIZON_WINDOWS", "2")
    config = load_outcomes_config(recent_windows=8, reference_windows=None)
    assert (config.roles, config.horizon_windows, config.recent_windows) == (("student", "teacher"), 2, 8)
    assert (config.patience("live"), config.patience("replay")) == (64, None)
    assert OutcomesConfig(patience_windows=0).patience("live") is None
    monkeypatch.setenv("CS3G_OUTCOMES_ROLES", "pupil")
    with pytest.raises(ConfigError, match=r"`roles` .*CS3G_OUTCOMES_ROLES"):
        load_outcomes_config()
