"""Models on the same windows, against scipy on small cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from cs3g.ab.comparison import compare
from cs3g.ab.settings import AbSettings
from cs3g.errors import ComparisonError
from tests.unit.cs3g.ab.factories import N, T, future_returns, make_market, make_scores, random_scores
from topics.types import UNDEF_PRICE

QUICK = AbSettings(draws=200, history=3)


@pytest.mark.parametrize("seed", range(3))
def test_models_are_judged_as_scipy_does_where_instruments_are_missing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    market = make_market(seed, missing=0.05)
    a, b = rng.standard_normal((2, T, N))
    a[rng.random((T, N)) < 0.1] = np.nan
    found = compare([make_scores("student", a, warmup=4), make_scores("teacher", b, warmup=6)], market, QUICK)

    labels, prices = future_returns(market), market.panel().prices
    known = np.array([np.isfinite(prices[max(0, t - 3) : t + 1]).all(axis=0) for t in range(T)])
    mask = known & np.isfinite(labels) & np.isfinite(a)
    rows = [
        t
        for t in range(6, T - 1)
        if mask[t].sum() >= 2 and (known & np.isfinite(labels))[t].sum() >= found.values["min_names"]
    ]
    assert (found.ts_close == market.ts_close[rows]).all()
    assert found.values["pairs"] == mask[rows].sum()
    for name, scores in (("student", a), ("teacher", b)):
        ranked = np.array([spearmanr(scores[t, mask[t]], labels[t, mask[t]]).statistic for t in rows])
        linear = [pearsonr(scores[t, mask[t]], labels[t, mask[t]]).statistic for t in rows]
        assert found.rank_ic[name] == pytest.approx(ranked)
        numbers = found.values["models"][name]
        assert numbers["RankIC"] == pytest.approx(ranked.mean())
        assert numbers["IC"] == pytest.approx(np.mean(linear))
        assert numbers["RankIC_lo"] < numbers["RankIC"] < numbers["RankIC_hi"]
    both = np.array([spearmanr(a[t, mask[t]], b[t, mask[t]]).statistic for t in rows])
    assert found.agreement["student", "teacher"] == pytest.approx(both)
    pair = found.values["pairs_of_models"][0]
    assert pair["difference"]["diff"] == pytest.approx(
        (found.rank_ic["student"] - found.rank_ic["teacher"]).mean()
    )
    equal = np.array([labels[t, mask[t]].mean() for t in rows])
    assert found.equal_weight == pytest.approx(equal)
    assert found.values["controls"]["equal_weight"]["mean_return"] == pytest.approx(equal.mean())


def test_reversal_is_minus_the_windows_own_return() -> None:
    market = make_market(1)
    found = compare([random_scores("student", market)], market, QUICK)
    prices = market.panel().prices
    returns = prices[1:] / prices[:-1] - 1
    expected = [spearmanr(-returns[t - 1], returns[t]).statistic for t in range(5, T - 1)]
    assert found.rank_ic["reversal"] == pytest.approx(np.array(expected))


def test_a_label_is_the_return_after_its_window_never_the_one_in_it() -> None:
    market = make_market(2)
    labels = future_returns(market)
    knowing = compare([make_scores("student", np.nan_to_num(labels))], market, QUICK)
    assert knowing.values["models"]["student"]["RankIC"] == pytest.approx(1.0)
    assert knowing.ts_close[-1] == market.ts_close[-2]  # the last window's label is not known yet
    present = np.vstack([np.zeros(N), labels[:-1]])
    same_day = compare([make_scores("student", present)], market, QUICK)
    assert abs(same_day.values["models"]["student"]["RankIC"]) < 0.5


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(20, T - 2), seed=st.integers(0, 99))
def test_later_prices_change_nothing_before_them(cut: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    market = make_market(seed)
    changed = market.close.copy()
    changed[cut:] = (changed[cut:] * rng.uniform(0.8, 1.2, changed[cut:].shape)).astype(np.int64)
    model = random_scores("student", market, seed)
    quick = AbSettings(draws=20, history=3)
    here = compare([model], market, quick)
    there = compare([model], replace(market, close=changed), quick)
    known = int(np.searchsorted(here.ts_close, market.ts_close[cut - 1]))
    assert known > 5
    for name in ("student", "reversal"):
        assert (here.rank_ic[name][:known] == there.rank_ic[name][:known]).all()


def test_windows_of_any_models_warm_up_are_left_out() -> None:
    market = make_market(3)
    models = [random_scores("student", market, 1, warmup=4), random_scores("teacher", market, 2, warmup=9)]
    found = compare(models, market, QUICK)
    assert found.ts_close.tolist() == market.ts_close[9:-1].tolist()
    assert found.values["warmup_windows"] == 9


@pytest.mark.parametrize(("noise", "equivalent"), [(0.0, True), (3.0, False)])
def test_equivalence_is_shown_only_within_the_margin(noise: float, equivalent: bool) -> None:
    market = make_market(6, t=200, n=30)
    rng = np.random.default_rng(6)
    teacher = np.nan_to_num(future_returns(market)) + 0.05 * rng.standard_normal((200, 30))
    student = teacher + noise * rng.standard_normal((200, 30))
    found = compare([make_scores("student", student), make_scores("teacher", teacher)], market, QUICK)
    pair = found.values["pairs_of_models"][0]
    assert pair["equivalence"]["equivalent"] is equivalent
    assert (abs(pair["difference"]["diff"]) < QUICK.margin) is equivalent
    better = found.values["against_reversal"]["teacher"]
    assert better["lo"] > 0.1


def test_of_three_models_the_confidence_set_keeps_the_one_that_knows() -> None:
    market = make_market(7, t=150, n=20)
    knowing = make_scores("teacher", np.nan_to_num(future_returns(market)))
    models = [random_scores("student", market, 1), knowing, random_scores("student 2", market, 2)]
    found = compare(models, market, QUICK)
    assert found.values["confidence_set"]["included"] == ("teacher",)
    named = [(pair["a"], pair["b"]) for pair in found.values["pairs_of_models"]]
    assert named == [("student", "teacher"), ("student", "student 2"), ("teacher", "student 2")]


def test_a_single_model_has_no_pair() -> None:
    market = make_market(8)
    found = compare([random_scores("student", market)], market, QUICK)
    assert found.values["pairs_of_models"] == []
    assert found.agreement == {}
    assert "confidence_set" not in found.values


def test_the_same_seed_gives_the_same_values() -> None:
    market = make_market(9)
    models = [random_scores("student", market, 1), random_scores("teacher", market, 2)]
    assert compare(models, market, QUICK).values == compare(models, market, QUICK).values
    other = compare(models, market, replace(QUICK, seed=1)).values
    assert (
        other["models"]["student"]["RankIC_lo"]
        != compare(models, market, QUICK).values["models"]["student"]["RankIC_lo"]
    )


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("warm-up", "all 60 windows are warm-up of 'student'"),
        ("few windows", "give more windows"),
        ("one instrument", "give more windows or more instruments"),
        ("no price", "give more windows or more instruments"),
        ("no common instrument", "'teacher' has no instrument in common"),
        ("no score", "'student' has no instrument in common"),
        ("same name", "models must have different names"),
        ("control's name", "models must have different names"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(case: str, words: str) -> None:
    market = make_market(10)
    scores = np.random.default_rng(10).standard_normal((T, N))
    halves = [scores.copy(), scores.copy()]
    halves[0][:, :6], halves[1][:, 6:] = np.nan, np.nan
    models = {
        "warm-up": [make_scores("student", scores, warmup=T)],
        "few windows": [make_scores("student", scores, warmup=T - 8)],
        "no common instrument": [make_scores("student", halves[0]), make_scores("teacher", halves[1])],
        "no score": [make_scores("student", np.full((T, N), np.nan))],
        "same name": [make_scores("student", scores), make_scores("student", scores)],
        "control's name": [make_scores("reversal", scores)],
    }.get(case, [make_scores("student", scores[:, :1] if case == "one instrument" else scores)])
    if case == "one instrument":
        market = make_market(10, n=1)
    if case == "no price":
        market = replace(market, close=np.full_like(market.close, UNDEF_PRICE))
    with pytest.raises(ComparisonError, match=words) as raised:
        compare(models, market, QUICK)
    assert "\n" not in str(raised.value)
