"""Do higher scores mean higher returns: the mean return of each class of scores within a window.

Letters: W windows, N instruments, K classes.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from scipy.stats import rankdata

from cs3g.ab.intervals import Intervals
from cs3g_model.evaluation.panel import CrossSections
from topics.types import Float64Array

__all__ = ["calibration", "class_returns", "n_classes"]

MOST_CLASSES: Final = 10
_FEWEST_MEMBERS: Final = 2


def n_classes(sections: CrossSections) -> int:
    """Return K: ten, or fewer where the median window has not twice as many instruments; at least two."""
    median = int(np.median(sections.scored.sum(axis=1)))
    return max(2, min(MOST_CLASSES, median // _FEWEST_MEMBERS))


def class_returns(scores: Float64Array, sections: CrossSections, classes: int) -> Float64Array:
    """Return each window's mean label by class of score, less the window's mean.

    Parameters
    ----------
    scores
        (W, N), finite wherever `sections.scored`; ties share their mean rank, and so a class.
    classes
        K (>= 2); class 0 holds the lowest scores.

    Returns
    -------
    (W, K) float64; NaN where a class is empty.
    """
    scored = sections.scored
    ranks = rankdata(np.where(scored, scores, np.inf), axis=1)
    n = scored.sum(axis=1, keepdims=True)
    number = np.minimum((ranks - 0.5) / np.maximum(n, 1) * classes, classes - 1).astype(np.int64)
    labels = np.where(scored, sections.labels, 0.0)
    excess = np.where(scored, labels - labels.sum(axis=1, keepdims=True) / np.maximum(n, 1), 0.0)
    out = np.full((len(scores), classes), np.nan)
    for k in range(classes):
        member = scored & (number == k)
        count = member.sum(axis=1)
        total = np.where(member, excess, 0.0).sum(axis=1)
        np.divide(total, count, out=out[:, k], where=count > 0)
    return out


def calibration(
    scores: dict[str, Float64Array], sections: CrossSections, intervals: Intervals
) -> dict[str, Any]:
    """Return K and, by model, each class's mean excess return a window with its 95 % limits."""
    classes = n_classes(sections)
    found = {}
    for name, values in scores.items():
        returns = class_returns(values, sections, classes)
        found[name] = [intervals.mean(returns[:, k]) for k in range(classes)]
    return {"classes": classes, "models": found}
