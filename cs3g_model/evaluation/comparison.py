"""Two models on the same windows: is one better, are they equal enough, what share does one keep of the other.

A daily loss must not depend on the scale of scores, which compare within a window only: it is 1 - rank IC, half
the mean squared distance between the standardized ranks of scores and labels. All series are paired by window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from cs3g_model.errors import ConfigError
from cs3g_model.evaluation.resampling import Resampling

__all__ = [
    "MARGIN",
    "DieboldMariano",
    "Difference",
    "Equivalence",
    "Ratio",
    "diebold_mariano",
    "equivalence",
    "long_run_error",
    "mean_difference",
    "ratio_of_means",
    "ratio_of_sharpes",
    "top_overlap",
]

MARGIN: Final = 0.005
"""Mean rank IC within which two models count as equivalent."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of a paired difference, its 95 % limits, and the share of resampled means that are not above zero."""

    diff: float
    lo: float
    hi: float
    p_le0: float


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Two one-sided tests (Schuirmann 1987) of a mean difference against +-margin.

    Attributes
    ----------
    difference, standard_error
        Mean, and its long-run (HAC) standard error.
    p_value
        The larger of the two one-sided tests', by Student's t.
    lo, hi
        Bootstrap limits at 1 - 2 alpha, the interval that matches the tests.
    equivalent
        Whether both agree: p_value < alpha, and the interval lies within the margin.
    """

    difference: float
    standard_error: float
    margin: float
    alpha: float
    p_value: float
    lo: float
    hi: float
    equivalent: bool


@dataclass(frozen=True, slots=True)
class DieboldMariano:
    """Test of equal expected loss (Diebold & Mariano 1995) with a HAC variance.

    Attributes
    ----------
    mean
        Mean of loss A - loss B: below zero where A is better.
    statistic, p_value
        Corrected for small samples (Harvey, Leybourne & Newbold 1997), two-sided by Student's t.
    bandwidth
        Of the Bartlett kernel, in windows.
    """

    mean: float
    statistic: float
    p_value: float
    bandwidth: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """A / B with the percentile limits of its paired bootstrap.

    Attributes
    ----------
    ratio, lo, hi
        None where B is zero.
    denominator_clear
        Whether B's own lower limit is above zero; if not, read the difference instead of the ratio.
    """

    numerator: float
    denominator: float
    ratio: float | None
    lo: float | None
    hi: float | None
    denominator_clear: bool


def mean_difference(a: FloatArray, b: FloatArray, resampling: Resampling) -> Difference:
    """Return the mean of a - b, both (W,), with its bootstrap limits."""
    low, high, share = resampling.limits(a - b)
    return Difference(float((a - b).mean()), low, high, share)


def long_run_error(series: FloatArray, horizon: int = 1) -> tuple[float, float]:
    """Return the standard error of the mean of a dependent series, and the bandwidth used.

    Newey & West's estimator with their automatic bandwidth (1994), from arch; at least the overlap of labels.

    Parameters
    ----------
    series
        (W,) float64.
    horizon
        Windows that a label spans.
    """
    from arch.covariance.kernel import NeweyWest

    n = len(series)
    if n < 3 or np.ptp(series) == 0:
        return (float(series.std(ddof=1) / math.sqrt(n)) if n > 1 else 0.0), 0.0
    bandwidth = max(NeweyWest(series).bandwidth, float(min(horizon - 1, n - 1)))
    variance = float(np.squeeze(NeweyWest(series, bandwidth=bandwidth).cov.long_run))
    return math.sqrt(max(variance, 0.0) / n), bandwidth


def diebold_mariano(loss_a: FloatArray, loss_b: FloatArray, horizon: int = 1) -> DieboldMariano:
    """Test whether two models' losses (W,) differ in the mean; equal losses give 0 and p = 1."""
    differential = loss_a - loss_b
    n, mean = len(differential), float(differential.mean())
    error, bandwidth = long_run_error(differential, horizon)
    h = min(horizon, n - 1)
    correction = math.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    statistic = correction * mean / error if error > 0 else 0.0
    certain = error == 0 and mean != 0
    p_value = 0.0 if certain else float(2 * student_t.sf(abs(statistic), n - 1))
    return DieboldMariano(mean, statistic, p_value, bandwidth)


def equivalence(
    a: FloatArray,
    b: FloatArray,
    resampling: Resampling,
    *,
    margin: float = MARGIN,
    alpha: float = 0.05,
    horizon: int = 1,
) -> Equivalence:
    """Test whether the means of two paired series (W,) are within a margin of each other.

    Raises
    ------
    ConfigError
        If the margin or alpha is out of range.
    """
    if not margin > 0 or not 0 < alpha < 0.5:
        raise ConfigError(f"`margin` (={margin}) must be > 0 and `alpha` (={alpha}) in (0, 0.5)")
    difference = a - b
    mean = float(difference.mean())
    error, _ = long_run_error(difference, horizon)
    if error > 0:
        below, above = (mean + margin) / error, (margin - mean) / error
        p_value = float(student_t.sf(min(below, above), len(difference) - 1))
    else:
        p_value = 0.0 if abs(mean) < margin else 1.0
    low, high, _ = resampling.limits(difference, 1 - 2 * alpha)
    inside = low > -margin and high < margin
    return Equivalence(mean, error, margin, alpha, p_value, low, high, bool(inside and p_value < alpha))


def ratio_of_means(a: FloatArray, b: FloatArray, resampling: Resampling) -> Ratio:
    """Return mean(a) / mean(b) of two paired series (W,), such as the rank ICs of a student and its teacher."""
    return _ratio(float(a.mean()), float(b.mean()), resampling.means(a), resampling.means(b))


def ratio_of_sharpes(a: FloatArray, b: FloatArray, resampling: Resampling) -> Ratio:
    """Return the ratio of mean / standard deviation of two paired series (W,); annualizing cancels."""
    deviation_a, deviation_b = float(a.std(ddof=1)), float(b.std(ddof=1))
    return _ratio(
        float(a.mean()) / deviation_a if deviation_a > 0 else 0.0,
        float(b.mean()) / deviation_b if deviation_b > 0 else 0.0,
        resampling.ratios(a),
        resampling.ratios(b),
    )


def top_overlap(a: FloatArray, b: FloatArray, size: int) -> FloatArray:
    """Return what share of the `size` highest scores of A are among B's, for each window.

    Parameters
    ----------
    a, b
        (W, N) float64, NaN for none.

    Returns
    -------
    (W,) float64; in a window with fewer scores than twice the size, of half as many; NaN below two.
    """
    shares = np.full(len(a), np.nan)
    for w in range(len(a)):
        both = np.flatnonzero(np.isfinite(a[w]) & np.isfinite(b[w]))
        k = min(size, len(both) // 2)
        if k:
            best_a, best_b = (both[np.argsort(-scores[w, both], kind="stable")[:k]] for scores in (a, b))
            shares[w] = len(np.intersect1d(best_a, best_b)) / k
    return shares


def _ratio(a: float, b: float, drawn_a: FloatArray, drawn_b: FloatArray) -> Ratio:
    clear = bool(np.quantile(drawn_b, 0.025) > 0)
    if b == 0 or not drawn_b.all():
        return Ratio(a, b, a / b if b else None, None, None, clear)
    low, high = np.quantile(drawn_a / drawn_b, [0.025, 0.975])
    return Ratio(a, b, a / b, float(low), float(high), clear)
