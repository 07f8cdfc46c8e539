"""One file of scores against a panel's labels: the per-window series that every number is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cs3g_model.errors import EvaluationError, ShapeError
from cs3g_model.evaluation.books import BookSeries, book_series
from cs3g_model.evaluation.panel import CrossSections
from cs3g_model.metrics import ic, rank_ic

__all__ = ["DirectionSeries", "ScoreSeries", "direction_series", "score_series", "within_groups"]

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DirectionSeries:
    """Shares per window, each (W,) float64; 0.5 where nothing can be counted.

    Attributes
    ----------
    cross_section
        Of instruments on the right side of the window's median label, split at its median score: chance is 0.5.
    raw
        Of instruments whose label is above zero where their score is above the median, or below where below.
    up
        Of labels above zero: what always saying "up" would reach of `raw`.
    """

    cross_section: FloatArray
    raw: FloatArray
    up: FloatArray


@dataclass(frozen=True, slots=True)
class ScoreSeries:
    """What one file of scores did in each window.

    Attributes
    ----------
    scores
        (W, N) float64 as given; NaN for none.
    coverage
        Share of the scored universe that has a score.
    ic, rank_ic
        (W,) float64.
    """

    scores: FloatArray
    coverage: float
    ic: FloatArray
    rank_ic: FloatArray
    direction: DirectionSeries
    books: BookSeries


def score_series(scores: FloatArray, sections: CrossSections) -> ScoreSeries:
    """Judge scores window by window.

    Parameters
    ----------
    scores
        (T, N) over the panel's windows and instruments, or (W, N) over those of `sections`; not finite counts as
        missing and is replaced by the window's median, which is no opinion.
    sections
        The windows that are judged.

    Raises
    ------
    ShapeError
        If the shape is neither.
    EvaluationError
        If not one score falls on the scored universe.
    """
    if scores.shape != sections.labels.shape:
        if scores.shape[1:] != sections.labels.shape[1:] or len(scores) <= sections.windows[-1]:
            raise ShapeError(
                f"`scores` must be (T, N) of the panel or {sections.labels.shape}, were {scores.shape}"
            )
        scores = scores[sections.windows]
    given = sections.scored & np.isfinite(scores)
    if not given.any():
        raise EvaluationError(
            "the scores cover nothing of the scored universe: no window and instrument of it"
        )
    filled = np.where(given, scores, np.nan)
    for w in np.flatnonzero((sections.scored & ~given).any(axis=1)):
        missing = sections.scored[w] & ~given[w]
        filled[w, missing] = np.median(filled[w, given[w]]) if given[w].any() else 0.0
    return ScoreSeries(
        scores=np.where(given, scores, np.nan),
        coverage=1.0 - float((sections.scored & ~given).sum() / sections.scored.sum()),
        ic=ic(filled, sections.labels, sections.scored),
        rank_ic=rank_ic(filled, sections.labels, sections.scored),
        direction=direction_series(filled, sections),
        books=book_series(filled, sections),
    )


def direction_series(scores: FloatArray, sections: CrossSections) -> DirectionSeries:
    """Count who went where: scores at the median, labels of zero or at the median, do not count.

    Parameters
    ----------
    scores
        (W, N), finite wherever `sections.scored`.
    """
    scored, labels = sections.scored, sections.labels
    side = np.sign(_from_median(scores, scored))
    relative, absolute = _from_median(labels, scored), np.where(scored, labels, 0.0)
    return DirectionSeries(
        _share((side > 0) == (relative > 0), (side != 0) & (relative != 0)),
        _share((side > 0) == (absolute > 0), (side != 0) & (absolute != 0)),
        _share(absolute > 0, (side != 0) & (absolute != 0)),
    )


def _from_median(values: FloatArray, mask: Mask) -> FloatArray:
    """Return (W, N) values less the median of the masked ones in the window, 0 outside of the mask."""
    n = mask.sum(axis=1, keepdims=True)
    ascending = np.sort(np.where(mask, values, np.inf), axis=1)
    low, high = (
        np.take_along_axis(ascending, np.maximum(place, 0), axis=1) for place in ((n - 1) // 2, n // 2)
    )
    distance: FloatArray = np.zeros(values.shape)
    np.subtract(values, (low + high) / 2, out=distance, where=mask)
    return distance


def _share(right: Mask, counted: Mask) -> FloatArray:
    """Return (W,) the share of the counted that are right, 0.5 where nothing is counted."""
    n = counted.sum(axis=1)
    share: FloatArray = np.where(n > 0, (right & counted).sum(axis=1) / np.maximum(n, 1), 0.5)
    return share


def within_groups(values: FloatArray, groups: NDArray[np.int64], mask: Mask) -> FloatArray:
    """Return values less the mean of their group in the window; what has no group is dropped.

    Parameters
    ----------
    values
        (W, N) float64.
    groups
        (N,) int64, -1 for none.
    mask
        (W, N) which values count.

    Returns
    -------
    (W, N) float64; NaN where the mask or the group is missing, and where a group has a single member.
    """
    out = np.full(values.shape, np.nan)
    finite = mask & np.isfinite(values)
    for group in np.unique(groups[groups >= 0]):
        columns = np.flatnonzero(groups == group)
        counts = finite[:, columns]
        n = counts.sum(axis=1, keepdims=True)
        mean = np.where(counts, values[:, columns], 0.0).sum(axis=1, keepdims=True) / np.maximum(n, 1)
        out[:, columns] = np.where(counts & (n > 1), values[:, columns] - mean, np.nan)
    return out
