"""Teacher and student on the same windows, against scipy on small cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from pipeline.comparison import (
    EQUIVALENCE_MARGIN,
    CloseTable,
    ScoreTable,
    close_table,
    compare,
    next_returns,
    score_table,
)
from tests.unit.topics.factories import make_predictions, make_ts_close
from topics.types import UNDEF_PRICE, Role

T, N = 30, 8


def closes(rng: np.random.Generator, missing: float = 0.0, t: int = T, n: int = N) -> CloseTable:
    prices = 100.0 * np.exp(np.cumsum(0.02 * rng.standard_normal((t, n)), axis=0))
    prices[rng.random((t, n)) < missing] = np.nan
    return CloseTable(make_ts_close(t), np.arange(1, n + 1, dtype=np.uint32), prices)


def table(
    scores: np.ndarray,
    *,
    role: Role = "student",
    warmup: int = 0,
    first: int = 0,
    ids: np.ndarray | None = None,
) -> ScoreTable:
    t, n = scores.shape
    known = np.arange(1, n + 1, dtype=np.uint32) if ids is None else ids.astype(np.uint32)
    symbols = tuple(f"S{number}" for number in known)
    return ScoreTable(
        role, f"{role}-id", make_ts_close(t, first), known, symbols, scores, np.arange(t) < warmup
    )


def scipy_means(scores: np.ndarray, labels: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    rows = [row for row in range(len(mask)) if mask[row].sum() >= 2]
    pairs = [(scores[row, mask[row]], labels[row, mask[row]]) for row in rows]
    ics = [pearsonr(a, b).statistic for a, b in pairs]
    rank_ics = [spearmanr(a, b).statistic for a, b in pairs]
    return float(np.mean(ics)), float(np.mean(rank_ics))


@pytest.mark.parametrize("seed", range(3))
def test_both_models_are_judged_as_scipy_does_where_instruments_are_missing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prices = closes(rng, missing=0.2)
    student, teacher = rng.standard_normal((2, T, N))
    student[rng.random((T, N)) < 0.1] = np.nan
    teacher[rng.random((T, N)) < 0.1] = np.nan
    found = compare([table(student), table(teacher, role="teacher")], prices)

    labels = np.full((T, N), np.nan)
    labels[:-1] = prices.close[1:] / prices.close[:-1] - 1.0
    mask = np.isfinite(student) & np.isfinite(teacher) & np.isfinite(labels)
    past = np.vstack([np.full(N, np.nan), labels[:-1]])
    scores = {"student": student, "teacher": teacher, "reversal": -np.where(np.isfinite(past), past, 0)}
    counted = mask.sum(axis=1) >= 2
    assert found.summary["windows"] == counted.sum() == len(found.ts_close)
    assert found.summary["pairs"] == mask[counted].sum()
    for name, values in scores.items():
        if name == "reversal":
            continue
        ic, rank_ic = scipy_means(values, labels, mask)
        assert found.summary["predictors"][name]["ic"] == pytest.approx(ic)
        assert found.summary["predictors"][name]["rank_ic"] == pytest.approx(rank_ic)
        low, high = (found.summary["predictors"][name][f"rank_ic_{end}"] for end in ("low", "high"))
        assert low < rank_ic < high
    assert found.agreement is not None
    both = [spearmanr(student[t, mask[t]], teacher[t, mask[t]]).statistic for t in np.flatnonzero(counted)]
    assert found.agreement == pytest.approx(np.array(both))
    difference = found.rank_ics["student"] - found.rank_ics["teacher"]
    assert found.summary["student_minus_teacher"]["rank_ic"] == pytest.approx(difference.mean())
    assert found.summary["equal_weight_mean_return"] == pytest.approx(labels[mask & counted[:, None]].mean())


def test_reversal_is_minus_the_last_return() -> None:
    rng = np.random.default_rng(1)
    prices = closes(rng)
    found = compare([table(rng.standard_normal((T, N)))], prices)
    returns = prices.close[1:] / prices.close[:-1] - 1.0
    expected = [spearmanr(-returns[t - 1], returns[t]).statistic for t in range(1, T - 1)]
    assert found.rank_ics["reversal"][1:] == pytest.approx(np.array(expected))
    assert found.rank_ics["reversal"][0] == 0.0  # there is none before the first window


def test_a_label_is_the_return_after_its_window_never_the_one_in_it() -> None:
    rng = np.random.default_rng(2)
    prices = closes(rng)
    future = next_returns(prices.close)
    assert future[:-1] == pytest.approx(prices.close[1:] / prices.close[:-1] - 1.0)
    assert np.isnan(future[-1]).all()
    knowing = compare([table(np.nan_to_num(future))], prices)
    assert knowing.summary["predictors"]["student"]["rank_ic"] == pytest.approx(1.0)
    # What is known when the window closes is no label: scoring by it is no perfect prediction.
    present = np.vstack([np.zeros(N), future[:-1]])
    assert abs(compare([table(present)], prices).summary["predictors"]["student"]["rank_ic"]) < 0.5
    assert knowing.ts_close[-1] == prices.ts_close[-2]  # the last window's label is not known yet


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(3, T - 2), seed=st.integers(0, 99))
def test_later_prices_change_nothing_before_them(cut: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    prices, scores = closes(rng), rng.standard_normal((T, N))
    changed = prices.close.copy()
    changed[cut:] *= rng.uniform(0.5, 2.0, changed[cut:].shape)
    here = compare([table(scores)], prices)
    there = compare([table(scores)], CloseTable(prices.ts_close, prices.instrument_ids, changed))
    known = cut - 1  # windows whose label lies before the change
    for name in ("student", "reversal"):
        assert (here.rank_ics[name][:known] == there.rank_ics[name][:known]).all()


def test_returns_are_limited_as_in_training() -> None:
    close = np.array([[1.0, 1.0, np.nan], [2.0, 0.1, 1.0], [np.nan, 0.11, 1.1]])
    expected = np.array([[0.4, -0.4, np.nan], [np.nan, 0.1, 0.1], [np.nan] * 3])
    np.testing.assert_allclose(next_returns(close), expected)
    assert np.isnan(next_returns(close[:1])).all()


def test_windows_of_either_models_warm_up_are_left_out() -> None:
    rng = np.random.default_rng(3)
    prices = closes(rng)
    student, teacher = rng.standard_normal((2, T, N))
    found = compare([table(student, warmup=4), table(teacher, role="teacher", warmup=9)], prices)
    assert found.ts_close.tolist() == prices.ts_close[9:-1].tolist()
    # A model that started late has no scores before, which is no reason to count those windows.
    late = compare([table(student), table(teacher[12:], role="teacher", first=12)], prices)
    assert late.ts_close.tolist() == prices.ts_close[12:-1].tolist()
    assert late.rank_ics["student"] == pytest.approx(
        np.array([spearmanr(student[t], next_returns(prices.close)[t]).statistic for t in range(12, T - 1)])
    )


def test_instruments_that_one_table_lacks_are_left_out() -> None:
    rng = np.random.default_rng(4)
    prices, ids = closes(rng), np.array([2, 3, 5, 99])
    found = compare([table(rng.standard_normal((T, 4)), ids=ids)], prices)
    assert found.summary["instruments"] == 3


def test_one_model_has_no_agreement_and_no_difference() -> None:
    rng = np.random.default_rng(5)
    found = compare([table(rng.standard_normal((T, N)))], closes(rng))
    assert found.agreement is None
    assert not {"student_minus_teacher", "agreement_mean"} & found.summary.keys()


@pytest.mark.parametrize(("noise", "equivalent"), [(0.0, True), (3.0, False)])
def test_equivalence_is_shown_only_within_the_margin(noise: float, equivalent: bool) -> None:
    rng = np.random.default_rng(6)
    prices = closes(rng, t=200, n=30)
    teacher = np.nan_to_num(next_returns(prices.close)) + 0.05 * rng.standard_normal((200, 30))
    student = teacher + noise * rng.standard_normal((200, 30))
    found = compare([table(student), table(teacher, role="teacher")], prices)
    difference = found.summary["student_minus_teacher"]
    assert difference["equivalent"] is equivalent
    assert difference["equivalence_margin"] == EQUIVALENCE_MARGIN
    assert (abs(difference["rank_ic"]) < EQUIVALENCE_MARGIN) is equivalent


def test_the_same_seed_gives_the_same_interval() -> None:
    rng = np.random.default_rng(7)
    tables, prices = [table(rng.standard_normal((T, N)))], closes(rng)
    assert compare(tables, prices).summary == compare(tables, prices).summary
    assert compare(tables, prices).summary != compare(tables, prices, seed=1).summary


@pytest.mark.parametrize(
    "case", ["warm-up", "one window", "one instrument", "no price", "no table in common"]
)
def test_where_nothing_can_be_compared_it_says_so(case: str) -> None:
    rng = np.random.default_rng(8)
    prices, scores = closes(rng), rng.standard_normal((T, N))
    made: dict[str, Any] = {
        "warm-up": lambda: compare([table(scores, warmup=T)], prices),
        "one window": lambda: compare([table(scores[:1])], closes(rng, t=1)),
        "one instrument": lambda: compare([table(scores[:, :1])], closes(rng, n=1)),
        "no price": lambda: compare([table(scores)], closes(rng, missing=1.0)),
        "no table in common": lambda: compare([table(scores, first=T)], prices),
    }
    with pytest.raises(ValueError, match="replay more windows or more instruments"):
        made[case]()


def test_scores_of_a_growing_universe_are_stacked() -> None:
    first = make_predictions(2, 3)
    second = make_predictions(3, 4, ts_close=make_ts_close(3, 2), seed=1)
    stacked = score_table([first, second])
    assert stacked.scores.shape == (5, 4)
    assert stacked.ts_close.tolist() == make_ts_close(5).tolist()
    assert np.isnan(stacked.scores[:2, 3]).all()
    assert (np.isfinite(stacked.scores[:2, :3]) == first.mask).all()
    assert (stacked.scores[2:][second.mask] == second.scores[second.mask]).all()
    assert stacked.warmup.tolist() == [True, False, True, False, False]
    assert (stacked.symbols, stacked.model_id) == (second.symbols, second.model_id)


def test_runs_of_two_models_or_none_are_no_table() -> None:
    for runs in ([], [make_predictions(), make_predictions(model_id="fedcba9876543210")]):
        with pytest.raises(ValueError, match="exactly one model"):
            score_table(runs)


def test_closes_are_stacked_in_currency() -> None:
    early = (make_ts_close(1), np.array([2], np.uint32), np.array([[5 * 10**9]]))
    later = (make_ts_close(1, 1), np.array([1, 2], np.uint32), np.array([[10**9, UNDEF_PRICE]]))
    stacked = close_table([early, later])
    np.testing.assert_array_equal(stacked.close, [[np.nan, 5.0], [1.0, np.nan]])
    assert stacked.instrument_ids.tolist() == [1, 2]
    with pytest.raises(ValueError, match="at least one run"):
        close_table([])
