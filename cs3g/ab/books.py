"""The long-short book that follows a model's scores, before and after costs.

Letters: W windows, N instruments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cs3g_model.evaluation.books import BookSeries, top_trades
from cs3g_model.evaluation.panel import CrossSections
from cs3g_model.evaluation.summary import BUY_COST, SELL_COST
from topics.types import Float64Array

__all__ = ["LongShort", "long_short"]


@dataclass(frozen=True, slots=True)
class LongShort:
    """Returns a window of the book, as a share of each side's capital.

    Attributes
    ----------
    gross, net
        (W - 1,) before and after costs; the first window, whose trades build the book, is left out.
    turnover
        (W - 1,) of both sides together: what was bought and sold, halved.
    """

    gross: Float64Array
    net: Float64Array
    turnover: Float64Array


def long_short(scores: Float64Array, books: BookSeries, sections: CrossSections) -> LongShort:
    """Cost the long-short book: 5 bp on what is bought, 15 bp on what is sold, on either side.

    The short side is the top book of the scores turned around: what that buys is sold short.

    Parameters
    ----------
    scores
        (W, N), finite wherever `sections.scored`.
    books
        Of the same scores.
    """
    shorted, covered = top_trades(-scores, sections)
    bought = books.top_bought + covered
    sold = books.top_sold + shorted
    gross = books.long_short[1:]
    costs = (BUY_COST * bought + SELL_COST * sold)[1:]
    return LongShort(gross, gross - costs, np.asarray((bought + sold)[1:] / 2))
