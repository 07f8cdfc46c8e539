"""Cross-sectional metrics of scores: per window first, then averaged over windows.

Conventions: a window's instruments without a score or a label are dropped, never filled; ties share their
mean rank; a constant score or label gives 0; standard deviations have ddof 1 and ratios are not annualized.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from cs3g_model.errors import ShapeError

__all__ = [
    "Interval",
    "agreement",
    "bootstrap_mean",
    "ic",
    "information_ratio",
    "rank_ic",
    "stationary_indices",
]

FloatArray = NDArray[np.float64]
AnyFloats = NDArray[np.floating]
Mask = NDArray[np.bool_]

_CELLS_AT_ONCE = 2**20


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its percentile confidence limits."""

    mean: float
    low: float
    high: float


def ic(scores: AnyFloats, labels: AnyFloats, mask: Mask) -> FloatArray:
    """Compute the information coefficient, Pearson's correlation of scores and labels in each window.

    Parameters
    ----------
    scores, labels
        (T, N); not finite counts as missing.
    mask
        (T, N) bool, which instruments count.

    Returns
    -------
    (T,) float64; NaN where fewer than two instruments count.
    """
    return _per_window(scores, labels, mask, ranked=False)


def rank_ic(scores: AnyFloats, labels: AnyFloats, mask: Mask) -> FloatArray:
    """Compute the rank IC, Spearman's correlation with mean ranks for ties; otherwise as `ic`."""
    return _per_window(scores, labels, mask, ranked=True)


def agreement(student: AnyFloats, teacher: AnyFloats, mask: Mask) -> FloatArray:
    """Compute the rank correlation of two models' scores in each window; no label enters."""
    return _per_window(student, teacher, mask, ranked=True)


def information_ratio(series: FloatArray) -> float:
    """Return mean / standard deviation (ddof 1) of a per-window series, 0 if it does not vary."""
    series = series[np.isfinite(series)]
    deviation = float(series.std(ddof=1)) if len(series) > 1 else 0.0
    return float(series.mean()) / deviation if deviation > 0 else 0.0


def bootstrap_mean(
    series: FloatArray, *, block: float = 10.0, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Bound the mean of a dependent series by the stationary bootstrap (Politis & Romano 1994).

    Blocks of geometric length with mean `block` start anywhere and wrap around. For two models pass the
    difference of their series: the pairing removes what is common to both.

    Parameters
    ----------
    series
        (T,) float64; NaNs are dropped.
    block
        Mean block length in windows (>= 1).
    draws
        Resamples.
    seed
        Of the generator.
    level
        Of the percentile interval.

    Raises
    ------
    ShapeError
        If nothing is left to average.
    """
    series = np.asarray(series, np.float64)
    series = series[np.isfinite(series)]
    n = len(series)
    if not n:
        raise ShapeError("`series` must hold at least one finite value")
    means = series[stationary_indices(n, block=block, draws=draws, seed=seed)].mean(axis=1)
    tail = (1.0 - level) / 2.0
    return Interval(
        float(series.mean()), float(np.quantile(means, tail)), float(np.quantile(means, 1.0 - tail))
    )


def stationary_indices(n: int, *, block: float = 10.0, draws: int = 2000, seed: int = 0) -> NDArray[np.int64]:
    """Draw the resamples of `bootstrap_mean`: (draws, n) positions in a series of n windows.

    The generator's calls and their order are fixed: they decide the draws, and so every published limit to the
    last digit. That is why this is not `arch.bootstrap.StationaryBootstrap`, which draws in another order.
    """
    generator = np.random.default_rng(seed)
    first = generator.integers(0, n, draws)
    fresh = generator.random((draws, n)) < 1.0 / block
    start = generator.integers(0, n, (draws, n))
    start[:, 0], fresh[:, 0] = first, True
    # Some rows at a time, so that what is on the way stays in the caches.
    step = max(1, _CELLS_AT_ONCE // max(1, n))
    for row in range(0, draws, step):
        rows = slice(row, row + step)
        start[rows] = _runs_from(start[rows], fresh[rows], n)
    return start


def _runs_from(start: NDArray[np.int64], fresh: Mask, n: int) -> NDArray[np.int64]:
    """Return (R, n) positions that go on by one, around the end, from where each last began afresh."""
    place = np.arange(n)
    began = np.maximum.accumulate(np.where(fresh, place, 0), axis=1)
    index: NDArray[np.int64] = np.take_along_axis(start, began, axis=1) + (place - began)
    index[index >= n] -= n
    return index


def _per_window(a: AnyFloats, b: AnyFloats, mask: Mask, *, ranked: bool) -> FloatArray:
    if a.shape != b.shape or a.shape != mask.shape or a.ndim != 2:
        raise ShapeError(f"shapes must be one (T, N), were {a.shape}, {b.shape} and {mask.shape}")
    out = np.full(len(a), np.nan)
    step = max(1, _CELLS_AT_ONCE // max(1, a.shape[1]))
    for start in range(0, len(a), step):
        rows = slice(start, start + step)
        x, y = np.asarray(a[rows], np.float64), np.asarray(b[rows], np.float64)
        counts = mask[rows] & np.isfinite(x) & np.isfinite(y)
        if ranked:
            x, y = _mean_ranks(x, counts), _mean_ranks(y, counts)
        out[rows] = _correlations(x, y, counts)
    return out


def _mean_ranks(values: FloatArray, counts: Mask) -> FloatArray:
    # What does not count sorts behind everything that does, so the others' ranks are 1..n.
    return np.asarray(rankdata(np.where(counts, values, np.inf), axis=1), np.float64)


def _correlations(x: FloatArray, y: FloatArray, counts: Mask) -> FloatArray:
    """Return Pearson's correlation of each row: NaN with fewer than two values, 0 for a constant."""
    n = counts.sum(axis=1)
    varies = np.ones(len(x), np.bool_)
    centered = []
    for values in (x, y):
        low = np.where(counts, values, np.inf).min(axis=1, initial=np.inf)
        high = np.where(counts, values, -np.inf).max(axis=1, initial=-np.inf)
        varies &= high > low
        mean = np.where(counts, values, 0.0).sum(axis=1) / np.maximum(n, 1)
        centered.append(np.where(counts, values - mean[:, None], 0.0))
    product = (centered[0] * centered[1]).sum(axis=1)
    scale = np.sqrt((centered[0] ** 2).sum(axis=1) * (centered[1] ** 2).sum(axis=1))
    out = np.divide(product, scale, out=np.zeros(len(x)), where=varies & (scale > 0))
    return np.where(n >= 2, out, np.nan)
