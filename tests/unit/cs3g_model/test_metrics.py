"""Metrics against scipy and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from cs3g_model.errors import ShapeError
from cs3g_model.metrics import agreement, bootstrap_mean, ic, information_ratio, rank_ic, stationary_indices


def make_scores(ties: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    g = np.random.default_rng(0)
    scores, labels = g.standard_normal((2, 30, 25))
    labels = labels + 0.3 * scores
    if ties:
        scores, labels = scores.round(), labels.round()
    return scores, labels, g.random((30, 25)) < 0.8


@pytest.mark.parametrize("ties", [False, True])
def test_ic_and_rank_ic_equal_scipy(ties: bool) -> None:
    scores, labels, mask = make_scores(ties)
    for t in range(30):
        here = mask[t]
        assert ic(scores, labels, mask)[t] == pytest.approx(pearsonr(scores[t, here], labels[t, here])[0])
        expected = spearmanr(scores[t, here], labels[t, here])[0]
        assert rank_ic(scores, labels, mask)[t] == pytest.approx(expected)


def test_missing_instruments_are_dropped_not_filled() -> None:
    scores, labels, mask = make_scores()
    expected = rank_ic(scores[:, :20], labels[:, :20], mask[:, :20])
    scores[:, 20:22], labels[:, 22:] = np.nan, np.nan
    np.testing.assert_array_equal(rank_ic(scores, labels, mask), expected)


def test_constant_scores_give_zero_and_empty_windows_nan() -> None:
    scores, labels, mask = make_scores()
    scores[0], labels[1], mask[2] = 7.0, 0.1, False
    mask[3], mask[3, 5] = False, True
    series = rank_ic(scores, labels, mask)
    assert series[0] == 0
    assert series[1] == 0
    assert np.isnan(series[2:4]).all()


def test_agreement_needs_no_label_and_ignores_monotone_maps() -> None:
    scores, _, mask = make_scores()
    np.testing.assert_allclose(agreement(scores, np.exp(scores), mask), 1.0)
    np.testing.assert_allclose(agreement(scores, -(scores**3), mask), -1.0)


def test_information_ratio_has_ddof_1() -> None:
    assert information_ratio(np.array([1.0, 2.0, 6.0])) == pytest.approx(3 / np.sqrt(7))
    assert information_ratio(np.array([1.0, 1.0])) == 0
    assert information_ratio(np.array([2.0])) == 0


def test_bootstrap_matches_the_standard_error_of_independent_values() -> None:
    series = np.random.default_rng(3).standard_normal(2000)
    interval = bootstrap_mean(series, block=1.0)
    half = 1.96 * series.std(ddof=1) / np.sqrt(len(series))
    assert interval.mean == pytest.approx(series.mean())
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.1)


def test_bootstrap_widens_for_dependent_values_and_is_seeded() -> None:
    steps = np.random.default_rng(4).standard_normal(1000)
    series = np.convolve(steps, np.ones(20) / 20, "same")
    short, long = bootstrap_mean(series, block=1.0), bootstrap_mean(series, block=20.0)
    assert long.high - long.low > 2 * (short.high - short.low)
    assert bootstrap_mean(series) == bootstrap_mean(series)
    assert bootstrap_mean(series, seed=1) != bootstrap_mean(series)


def test_bootstrap_drops_nan_and_refuses_nothing() -> None:
    assert bootstrap_mean(np.array([1.0, np.nan, 3.0])).mean == 2
    with pytest.raises(ShapeError):
        bootstrap_mean(np.array([np.nan]))


def test_shapes_must_agree() -> None:
    scores, labels, mask = make_scores()
    with pytest.raises(ShapeError, match="shapes must be one"):
        rank_ic(scores, labels[:, 1:], mask)


@pytest.mark.parametrize(("n", "block", "draws"), [(1, 10.0, 4), (2, 1.0, 9), (57, 4.0, 300), (999, 1e9, 20)])
def test_resamples_follow_the_definition_one_window_after_another(n: int, block: float, draws: int) -> None:
    g = np.random.default_rng(5)
    expected = np.empty((draws, n), np.int64)
    expected[:, 0] = g.integers(0, n, draws)
    fresh, jump = g.random((draws, n)) < 1.0 / block, g.integers(0, n, (draws, n))
    for i in range(1, n):
        expected[:, i] = np.where(fresh[:, i], jump[:, i], (expected[:, i - 1] + 1) % n)
    found = stationary_indices(n, block=block, draws=draws, seed=5)
    assert found.dtype == np.int64
    assert (found == expected).all()
