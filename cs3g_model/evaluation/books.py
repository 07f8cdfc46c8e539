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
from cs3g_model.evaluation.ranking import Ranking, means_of, rankings

__all__ = ["BOOK_SIZE", "BookSeries", "book_series", "top_trades"]

BOOK_SIZE: Final = 50
"""Most instruments that a book holds on a side."""

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
    top, dropout = _TopBook(W, N), _DropoutBook(W, N)
    for ranking in rankings(scores, sections):
        top.take(ranking)
        dropout.take(ranking)
    return BookSeries(*top.series, *dropout.series)


def top_trades(scores: FloatArray, sections: CrossSections) -> tuple[FloatArray, FloatArray]:
    """Return what the top book alone buys and sells, (W,) each; arguments as of `book_series`."""
    top = _TopBook(*sections.labels.shape)
    for ranking in rankings(scores, sections):
        top.take(ranking)
    return top.series[3], top.series[4]


class _TopBook:
    """The long-short and the top book; mutates self.

    Attributes
    ----------
    series
        (5, W): long-short, equal weight, excess, bought, sold.
    """

    def __init__(self, n_windows: int, n_instruments: int) -> None:
        self.series = np.zeros((5, n_windows))
        self._weights = np.zeros((1, n_instruments))

    def take(self, ranking: Ranking) -> None:
        """Go on by some windows."""
        order, counts, returns = ranking.order, ranking.counts, ranking.returns
        sizes = np.minimum(BOOK_SIZE, counts // 2)
        width = int(sizes.max(initial=0))
        place = np.arange(width)
        best = order[:, :width]
        last = np.clip((counts - sizes)[:, None] + place, 0, order.shape[1] - 1)
        worst = np.take_along_axis(order, last, axis=1)
        target = np.zeros(returns.shape)
        share = np.where(place < sizes[:, None], 1.0 / np.maximum(sizes, 1)[:, None], 0.0)
        np.put_along_axis(target, best, share, axis=1)
        grown = target * (1 + returns)
        total = grown.sum(axis=1, keepdims=True)
        drifted = np.divide(grown, total, out=grown.copy(), where=total > 0)
        weights = np.concatenate([self._weights, drifted[:-1]])
        self._weights = drifted[-1:]
        self.series[:, ranking.rows] = (
            means_of(returns, best, sizes) - means_of(returns, worst, sizes),
            ranking.equal_weight,
            (target * returns).sum(axis=1) - ranking.equal_weight,
            np.maximum(target - weights, 0).sum(axis=1),
            np.maximum(weights - target, 0).sum(axis=1),
        )


class _DropoutBook:
    """The dropout book; mutates self.

    Attributes
    ----------
    series
        (2, W): excess, traded.
    """

    def __init__(self, n_windows: int, n_instruments: int) -> None:
        self.series = np.zeros((2, n_windows))
        self._weights = np.zeros(n_instruments)
        self._held = np.zeros(0, np.int64)

    def take(self, ranking: Ranking) -> None:
        """Go on by some windows: each one's holdings follow from the last one's."""
        n_scored = ranking.scored.sum(axis=1).tolist()
        for row, count in enumerate(ranking.counts.tolist()):
            ranked, returns = ranking.order[row, :count], ranking.returns[row]
            if len(self._held):
                size = min(BOOK_SIZE, n_scored[row] // 2)
                self._held = _replace_worst(self._held, ranked, ranking.key[row], ranking.free[row], size)
            else:
                self._held = ranked[: min(BOOK_SIZE, count // 2)]
            book, traded = _swap(self._weights, self._held)
            self._weights = _drift(book, returns)
            excess = (book * returns).sum() / max(book.sum(), 1e-12) - ranking.equal_weight[row]
            self.series[:, ranking.rows.start + row] = excess, traded


def _descending(names: IntArray, key: FloatArray) -> IntArray:
    return names[np.argsort(-key[names], kind="stable")]


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
    candidates = ranked[~_marked(held, len(key))[ranked]][: max(0, drops + missing)]
    worst = _descending(np.concatenate([last, candidates]), key)[-drops:]
    leaves = _marked(worst, len(key))[last] & free[last]
    bought = candidates[: max(0, int(leaves.sum()) + missing)]
    return np.concatenate([last[~leaves], bought])


def _marked(names: IntArray, n: int) -> Mask:
    marks = np.zeros(n, np.bool_)
    marks[names] = True
    return marks


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
