"""Who is before whom in each window's scores, for many windows at once.

Letters: W windows, R consecutive windows of them, N instruments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model.evaluation.panel import CrossSections

__all__ = ["Ranking", "means_of", "rankings"]

_TIE_NOISE: Final = 1e-12
_CELLS_AT_ONCE: Final = 2**18

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Consecutive windows, ranked.

    Attributes
    ----------
    rows
        Which of the W windows these are.
    key
        (R, N) float64 what is ranked by; minus infinity where not scored.
    scored, free
        (R, N) bool; free is who can be bought and sold.
    returns
        (R, N) float64 labels; 0 where not scored, as what left the universe earns nothing.
    equal_weight
        (R,) float64 mean label of the scored.
    order
        (R, N) int64 instruments that are scored and free, best first, and then the others.
    counts
        (R,) int64 how many are scored and free.
    """

    rows: slice
    key: FloatArray
    scored: Mask
    free: Mask
    returns: FloatArray
    equal_weight: FloatArray
    order: IntArray
    counts: IntArray


def rankings(scores: FloatArray, sections: CrossSections) -> Iterator[Ranking]:
    """Rank all windows in order, some at a time.

    Parameters
    ----------
    scores
        (W, N) float64, finite wherever `sections.scored`.
    sections
        Labels, who is scored and who can be traded.
    """
    W, N = sections.labels.shape
    step = max(1, _CELLS_AT_ONCE // max(1, N))
    for start in range(0, W, step):
        rows = slice(start, min(start + step, W))
        scored = sections.scored[rows].astype(np.bool_)
        free = sections.tradable[rows].astype(np.bool_)
        names, n_scored = _first(scored), scored.sum(axis=1)
        key = _without_ties(scores[rows], scored, names, n_scored, sections.windows[rows])
        yield Ranking(
            rows=rows,
            key=key,
            scored=scored,
            free=free,
            returns=np.where(scored, sections.labels[rows], 0.0),
            equal_weight=means_of(sections.labels[rows], names, n_scored),
            order=np.argsort(np.where(free & scored, -key, np.inf), axis=1, kind="stable"),
            counts=(free & scored).sum(axis=1),
        )


def means_of(values: FloatArray, columns: IntArray, counts: IntArray) -> FloatArray:
    """Return (R,) means of the values (R, N) in the first so many of each row's columns; 0 for none."""
    out = np.zeros(len(values))
    for rows, gathered in _by_count(values, columns, counts):
        out[rows] = gathered.mean(axis=1)
    return out


def _by_count(
    values: FloatArray, columns: IntArray, counts: IntArray
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Yield rows of one count with what they hold, closely packed: sums are rounded as they are of one window."""
    for count in np.unique(counts[counts > 0]):
        rows = np.flatnonzero(counts == count)
        yield rows, np.ascontiguousarray(np.take_along_axis(values[rows], columns[rows, :count], axis=1))


def _first(mask: Mask) -> IntArray:
    """Return (R, N) columns: those in the mask in their order, and then the others."""
    return np.argsort(~mask, axis=1, kind="stable")


def _without_ties(
    scores: FloatArray, scored: Mask, names: IntArray, n_scored: IntArray, windows: IntArray
) -> FloatArray:
    """Add noise far below the scores' spread, by window, so that equal scores are taken in a fixed random order."""
    noise, spread = np.zeros(scores.shape), np.zeros((len(scores), 1))
    for row, window in enumerate(windows.tolist()):
        count = n_scored[row]
        noise[row, names[row, :count]] = np.random.default_rng(window).standard_normal(count)
    for rows, gathered in _by_count(scores, names, n_scored):
        spread[rows, 0] = gathered.std(axis=1)
    key: FloatArray = scores + _TIE_NOISE * (spread + _TIE_NOISE) * noise
    return np.where(scored, key, -np.inf)
