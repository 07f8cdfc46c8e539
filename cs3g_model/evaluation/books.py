"""Portfolios that follow scores, remade at each window's close and held to the next; the books of the protocol.

Letters: W windows, N instruments, K instruments held: 50, or half of those scored where these are fewer than 100.

- long-short: the K highest against the K lowest, equal weights;
- top: the K highest, equal weights;
- dropout: K held, at most a tenth replaced a window (TopkDropout of Yang et al. 2020, Qlib); kept names drift.

Excess is over the equal-weight mean of the scored instruments. Costs are left to `summary`: books tell what
share of their value was bought and sold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model.evaluation.panel import CrossSections

__all__ = ["BOOK_SIZE", "BookSeries", "book_series"]

BOOK_SIZE: Final = 50
"""Most instruments that a book holds on a side."""

_TIE_NOISE: Final = 1e-12

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class BookSeries:
    """Per-window series, each (W,) float64; the first window's trades build the books and cost nothing.

    Attributes
    ----------
    long_short
        Return of the long-short book.
    equal_weight
        Mean label of the scored.
    top_excess, top_bought, top_sold
        Of the top book; shares of its value.
    dropout_excess, dropout_traded
        Of the dropout book, which buys as much as it sells.
    """

    long_short: FloatArray
    equal_weight: FloatArray
    top_excess: FloatArray
    top_bought: FloatArray
    top_sold: FloatArray
    dropout_excess: FloatArray
    dropout_traded: FloatArray


def book_series(scores: FloatArray, sections: CrossSections) -> BookSeries:
    """Run the books over the windows in order.

    Parameters
    ----------
    scores
        (W, N) float64, finite wherever `sections.scored`.
    sections
        Labels, who is scored and who can be traded.
    """
    W, N = sections.labels.shape
    series = np.zeros((7, W))
    top_weights, dropout_weights = np.zeros(N), np.zeros(N)
    held = np.zeros(0, np.int64)
    for w in range(W):
        names = np.flatnonzero(sections.scored[w])
        labels, free = sections.labels[w, names], sections.tradable[w]
        key = np.full(N, -np.inf)
        key[names] = _without_ties(scores[w, names], int(sections.windows[w]))
        ranked = _descending(names[free[names]], key)
        size = min(BOOK_SIZE, len(ranked) // 2)
        equal = labels.mean()
        returns = np.zeros(N)  # what left the universe earns nothing
        returns[names] = labels

        top, bottom = ranked[:size], ranked[len(ranked) - size :]
        target = _equal_weights(top, N)
        bought, sold = np.maximum(target - top_weights, 0).sum(), np.maximum(top_weights - target, 0).sum()
        top_weights = _drift(target, returns)

        if not len(held):
            held = top
        else:
            held = _replace_worst(held, ranked, key, free, min(BOOK_SIZE, len(names) // 2))
        dropout, traded = _swap(dropout_weights, held)
        dropout_weights = _drift(dropout, returns)

        series[:, w] = (
            returns[top].mean() - returns[bottom].mean() if size else 0.0,
            equal,
            (target * returns).sum() - equal,
            bought,
            sold,
            (dropout * returns).sum() / max(dropout.sum(), 1e-12) - equal,
            traded,
        )
    return BookSeries(*series)


def _without_ties(scores: FloatArray, window: int) -> FloatArray:
    """Add noise far below the scores' spread, by window, so that equal scores are taken in a fixed random order."""
    noise = np.random.default_rng(window).standard_normal(len(scores))
    return scores + _TIE_NOISE * (np.std(scores) + _TIE_NOISE) * noise


def _descending(names: IntArray, key: FloatArray) -> IntArray:
    return names[np.argsort(-key[names], kind="stable")]


def _equal_weights(names: IntArray, n: int) -> FloatArray:
    weights = np.zeros(n)
    if len(names):
        weights[names] = 1.0 / len(names)
    return weights


def _drift(weights: FloatArray, returns: FloatArray) -> FloatArray:
    """Return the weights after a window; a book of nothing stays one."""
    grown = weights * (1 + returns)
    total = grown.sum()
    return grown / total if total > 0 else grown


def _replace_worst(held: IntArray, ranked: IntArray, key: FloatArray, free: Mask, size: int) -> IntArray:
    """Return the new holdings: the worst tenth of held and best candidates makes room, what cannot be sold stays.

    Parameters
    ----------
    held
        Instruments held until now.
    ranked
        Instruments that can be bought, best first.
    key
        (N,) scores; minus infinity where not scored.
    free
        (N,) whether it can be sold.
    size
        K.
    """
    drops = max(1, size // 10)
    last = _descending(held, key)
    missing = size - len(held)
    candidates = ranked[~np.isin(ranked, held)][: max(0, drops + missing)]
    worst = _descending(np.concatenate([last, candidates]), key)[-drops:]
    leaves = np.isin(last, worst) & free[last]
    bought = candidates[: max(0, int(leaves.sum()) + missing)]
    return np.concatenate([last[~leaves], bought])


def _swap(weights: FloatArray, held: IntArray) -> tuple[FloatArray, float]:
    """Sell what is no longer held and spread the proceeds over what is new; kept names are not touched.

    Returns
    -------
    The (N,) weights after the trades, and the share of the value that was sold, and so bought.
    """
    kept = np.zeros_like(weights)
    kept[held] = weights[held]
    cash = 1.0 - kept.sum()
    new = held[weights[held] == 0]
    if len(new):
        kept[new] = cash / len(new)
    return kept, float(cash)
