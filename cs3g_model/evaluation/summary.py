"""Per-window series as the protocol's numbers, under the protocol's names.

| name | what it is |
|---|---|
| days, coverage | windows judged; share of the scored universe that has a score |
| IC, ICIR, RankIC, RankICIR | means of the series, and mean / standard deviation (ddof 1, not annualized) |
| RankIC_lo, RankIC_hi, RankIC_p0 | 95 % limits of the stationary bootstrap, share of its means <= 0 |
| DAcs, DAcs_cc | direction within the cross-section, and 2 DAcs - 1: corrected for chance |
| DA, up, base, DA_minus_half | raw direction, share of labels above zero, majority base rate, DA - 0.5 |
| LS_ann, LS_sharpe | long-short, without costs |
| LO_* | top book: excess a year (ex), net of 5 bp on buys and 15 bp on sells (net), of 5 or 15 bp on both |
| TD_* | dropout book, the same |
| turnover, TD_turnover | half of what was bought and sold, as a share of the book, per window |
| EW_ann, EW_sharpe | equal weight: the mean of the scored universe |

Means are annualized by the number of windows a year, arithmetically; Sharpe and information ratios by its root.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model.evaluation.books import BookSeries
from cs3g_model.evaluation.resampling import Resampling
from cs3g_model.evaluation.scoring import ScoreSeries

__all__ = ["BUY_COST", "MIN_COVERAGE", "SELL_COST", "net_excess", "over_seeds", "sharpe_ratio", "summarize"]

BUY_COST: Final = 5e-4
SELL_COST: Final = 15e-4
MIN_COVERAGE: Final = 0.999
"""Below this share of scores, a file's numbers are not comparable with those of others."""

FloatArray = NDArray[np.float64]


def summarize(series: ScoreSeries, annual_windows: float, resampling: Resampling) -> dict[str, float]:
    """Reduce one file's series to its numbers; see the module for their names.

    Parameters
    ----------
    series
        W windows.
    annual_windows
        Windows a year.
    resampling
        Of W windows.
    """
    books, direction = series.books, series.direction
    top, net, dropout, dropout_net = net_excess(books)
    both_sides = (books.top_bought + books.top_sold)[1:]
    low, high, share = resampling.limits(series.rank_ic)
    correct, up = float(direction.cross_section.mean()), float(direction.up.mean())
    raw = float(direction.raw.mean())

    def year(values: FloatArray) -> float:
        return float(values.mean() * annual_windows)

    return {
        "days": float(len(series.rank_ic)),
        "coverage": series.coverage,
        "IC": float(series.ic.mean()),
        "ICIR": _ratio(series.ic),
        "RankIC": float(series.rank_ic.mean()),
        "RankICIR": _ratio(series.rank_ic),
        "RankIC_lo": low,
        "RankIC_hi": high,
        "RankIC_p0": share,
        "DAcs": correct,
        "DAcs_cc": 2 * correct - 1,
        "DA": raw,
        "up": up,
        "base": max(up, 1 - up),
        "DA_minus_half": raw - 0.5,
        "LS_sharpe": sharpe_ratio(books.long_short, annual_windows),
        "LS_ann": year(books.long_short),
        "LO_ex": year(top),
        "LO_net": year(net),
        "LO_IR": sharpe_ratio(top, annual_windows),
        "LO_net_IR": sharpe_ratio(net, annual_windows),
        "LO_net5flat": year(top - BUY_COST * both_sides),
        "LO_net15flat": year(top - SELL_COST * both_sides),
        "turnover": float(both_sides.mean() / 2),
        "TD_ex": year(dropout),
        "TD_net": year(dropout_net),
        "TD_net_IR": sharpe_ratio(dropout_net, annual_windows),
        "TD_turnover": float(books.dropout_traded[1:].mean()),
        "EW_ann": year(books.equal_weight),
        "EW_sharpe": sharpe_ratio(books.equal_weight, annual_windows),
    }


def net_excess(books: BookSeries) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return excess before and after costs of the top and of the dropout book, each (W - 1,).

    The first window is left out: building a book is not what it costs to run it.
    """
    top, dropout, traded = books.top_excess[1:], books.dropout_excess[1:], books.dropout_traded[1:]
    return (
        top,
        top - BUY_COST * books.top_bought[1:] - SELL_COST * books.top_sold[1:],
        dropout,
        dropout - (BUY_COST + SELL_COST) * traded,
    )


def sharpe_ratio(values: FloatArray, annual_windows: float) -> float:
    """Return mean / standard deviation (ddof 1) a year of (W,) returns, 0 for fewer than two."""
    if len(values) < 2:
        return 0.0
    return float(values.mean() / (values.std(ddof=1) + 1e-12) * np.sqrt(annual_windows))


def over_seeds(rows: list[dict[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the mean and the standard deviation (ddof 1, 0 of a single row) of each number over files."""
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    spread = {
        name: float(np.std([row[name] for row in rows], ddof=1)) if len(rows) > 1 else 0.0 for name in rows[0]
    }
    return mean, spread


def _ratio(series: FloatArray) -> float:
    deviation = float(series.std(ddof=1))
    return float(series.mean()) / deviation if deviation > 0 else 0.0
