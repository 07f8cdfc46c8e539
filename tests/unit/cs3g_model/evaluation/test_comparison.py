"""Paired statistics against their formulas, and their error rates on noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student_t

from cs3g_model.errors import ConfigError
from cs3g_model.evaluation.comparison import (
    diebold_mariano,
    equivalence,
    long_run_error,
    mean_difference,
    ratio_of_means,
    ratio_of_sharpes,
    top_overlap,
)
from cs3g_model.evaluation.resampling import Resampling


def newey_west_error(series: np.ndarray, bandwidth: float) -> float:
    n, x = len(series), series - series.mean()
    variance = x @ x / n
    for lag in range(1, int(bandwidth) + 1):
        variance += 2 * (1 - lag / (bandwidth + 1)) * (x[lag:] @ x[:-lag]) / n
    return float(np.sqrt(variance / n))


def moving_average(n: int, seed: int, length: int = 4) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(n + length - 1)
    return np.convolve(noise, np.ones(length) / length, "valid")


def test_the_long_run_error_is_newey_and_wests() -> None:
    series = moving_average(400, 0)
    error, bandwidth = long_run_error(series)
    assert bandwidth > 2
    assert error == pytest.approx(newey_west_error(series, bandwidth))
    # The mean of a moving average over 4 has twice the error of as many independent values of its variance.
    assert error == pytest.approx(2 * series.std() / np.sqrt(400), rel=0.2)
    assert long_run_error(series, horizon=30)[1] == 29


def test_diebold_mariano_by_its_formula() -> None:
    a, b = moving_average(200, 1) + 0.1, moving_average(200, 2)
    found = diebold_mariano(a, b)
    difference = a - b
    error = newey_west_error(difference, found.bandwidth)
    statistic = np.sqrt(199 / 200) * difference.mean() / error
    assert found.mean == pytest.approx(difference.mean())
    assert found.statistic == pytest.approx(statistic)
    assert found.p_value == pytest.approx(2 * student_t.sf(abs(statistic), 199))
    assert diebold_mariano(b, a).statistic == pytest.approx(-statistic)


def test_diebold_mariano_refuses_a_true_null_as_rarely_as_it_says() -> None:
    rejected = [
        diebold_mariano(moving_average(300, seed), moving_average(300, 10_000 + seed)).p_value < 0.05
        for seed in range(200)
    ]
    assert 0.01 <= np.mean(rejected) <= 0.11


def test_equal_losses_do_not_differ_and_a_constant_difference_is_certain() -> None:
    a = moving_average(50, 3)
    same, better = diebold_mariano(a, a.copy()), diebold_mariano(a, a + 0.25)
    assert (same.statistic, same.p_value, same.mean) == (0, 1, 0)
    assert better.p_value == pytest.approx(0, abs=1e-12)


def test_equivalence_by_its_formula() -> None:
    g = np.random.default_rng(4)
    b = g.standard_normal(400)
    a = b + 0.001 + 0.02 * g.standard_normal(400)
    found = equivalence(a, b, Resampling.of(400))
    error, _ = long_run_error(a - b)
    assert found.p_value == pytest.approx(student_t.sf((0.005 - (a - b).mean()) / error, 399))
    assert found.equivalent
    assert -0.005 < found.lo < (a - b).mean() < found.hi < 0.005
    assert not equivalence(a, b, Resampling.of(400), margin=0.001).equivalent
    assert not equivalence(a + 0.01, b, Resampling.of(400)).equivalent


def test_a_difference_at_the_margin_is_rarely_called_equivalent() -> None:
    g, draws = np.random.default_rng(5), Resampling.of(200, draws=300)
    called = [
        equivalence(0.005 + 0.02 * g.standard_normal(200), np.zeros(200), draws).equivalent
        for _ in range(200)
    ]
    assert np.mean(called) <= 0.10


def test_equal_series_are_equivalent_without_any_noise() -> None:
    a = moving_average(60, 6)
    draws = Resampling.of(60)
    assert equivalence(a, a.copy(), draws).p_value == 0
    assert equivalence(a, a.copy(), draws).equivalent
    apart = equivalence(np.full(60, 0.5), np.full(60, 0.25), draws)
    assert apart.p_value == 1
    assert not apart.equivalent


@pytest.mark.parametrize("wrong", [{"margin": 0.0}, {"margin": -1.0}, {"alpha": 0.5}, {"margin": np.nan}])
def test_a_margin_is_above_zero(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="margin"):
        equivalence(np.zeros(9), np.zeros(9), Resampling.of(9), **wrong)


def test_the_mean_difference_is_paired() -> None:
    a = moving_average(100, 7)
    found = mean_difference(a + 0.125, a, Resampling.of(100))
    assert (found.diff, found.lo, found.hi, found.p_le0) == pytest.approx((0.125, 0.125, 0.125, 0))


def test_a_ratio_of_a_fixed_share_has_no_width() -> None:
    b = 0.03 + 0.1 * moving_average(300, 8)
    found = ratio_of_means(0.96 * b, b, Resampling.of(300))
    assert (found.ratio, found.lo, found.hi) == pytest.approx((0.96, 0.96, 0.96))
    assert found.numerator == pytest.approx(0.96 * found.denominator)
    assert found.denominator_clear
    sharpes = ratio_of_sharpes(3 * b, b, Resampling.of(300))
    assert (sharpes.ratio, sharpes.lo, sharpes.hi) == pytest.approx((1, 1, 1))
    assert sharpes.denominator == pytest.approx(b.mean() / b.std(ddof=1))


def test_a_ratio_to_noise_says_so() -> None:
    g = np.random.default_rng(9)
    found = ratio_of_means(0.1 + g.standard_normal(100), g.standard_normal(100), Resampling.of(100))
    assert not found.denominator_clear
    nothing = ratio_of_means(g.standard_normal(100), np.zeros(100), Resampling.of(100))
    assert (nothing.ratio, nothing.lo, nothing.hi) == (None, None, None)
    assert not nothing.denominator_clear


def test_a_ratios_limits_cover_the_truth() -> None:
    g, draws = np.random.default_rng(10), Resampling.of(250, block=1.0, draws=400)
    covered = []
    for _ in range(200):
        common = 0.05 + 0.1 * g.standard_normal(250)
        a = 0.9 * common + 0.02 * g.standard_normal(250)
        found = ratio_of_means(a, common, draws)
        assert found.lo is not None
        assert found.hi is not None
        covered.append(found.lo <= 0.9 <= found.hi)
    assert 0.90 <= np.mean(covered) <= 0.99


def test_overlap_of_the_best() -> None:
    a = np.array(
        [[6.0, 5, 4, 3, 2, 1], [6, 5, 4, 3, np.nan, np.nan], [1, np.nan, np.nan, np.nan, np.nan, np.nan]]
    )
    b = np.array([[5.0, 6, 1, 2, 3, 4], [3, 6, 5, 4, 1, 9], [1, 2, 3, 4, 5, 6]])
    np.testing.assert_allclose(top_overlap(a, b, 50), [2 / 3, 1 / 2, np.nan])
    np.testing.assert_allclose(top_overlap(a, b, 1), [0, 0, np.nan])
