"""Where a model works: its rank IC by sector, by the market's volatility, and in rising and falling markets.

Letters: W windows, N instruments.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from cs3g.ab.intervals import Intervals
from cs3g.ab.market import Market
from cs3g_model.evaluation.panel import CrossSections, MarketPanel
from cs3g_model.metrics import rank_ic
from topics.types import BoolArray, Float64Array

__all__ = ["by_regime", "by_sector", "trailing_volatility"]

MIN_MEMBERS: Final = 5
"""Fewest instruments of a sector in a window that is judged."""

VOLATILITY_WINDOWS: Final = 20


def by_sector(
    scores: dict[str, Float64Array], sections: CrossSections, market: Market, intervals: Intervals
) -> list[dict[str, Any]]:
    """Return the rank IC within each sector, by sector; sectors of fewer than five instruments are left out.

    Parameters
    ----------
    scores
        (W, N) of each model by name, in order.
    """
    found = []
    for code in np.unique(market.sector[market.sector >= 0]).tolist():
        member = sections.scored & (market.sector == code)
        count = member.sum(axis=1)
        enough = count >= MIN_MEMBERS
        if not enough.any():
            continue
        series = {
            name: np.where(enough, rank_ic(values, sections.labels, member), np.nan)
            for name, values in scores.items()
        }
        found.append(
            {
                "name": market.sector_name(code),
                "windows": int(enough.sum()),
                "instruments": float(count[enough].mean()),
                **_means(series, intervals),
            }
        )
    return sorted(found, key=lambda entry: str(entry["name"]))


def by_regime(
    rank_ics: dict[str, Float64Array], sections: CrossSections, panel: MarketPanel, intervals: Intervals
) -> list[dict[str, Any]]:
    """Return the rank IC in thirds of the market's trailing volatility, and where the market rose and fell.

    The volatility is known when a window closes; whether the market then rises is not.

    Parameters
    ----------
    rank_ics
        (W,) of each model by name, in order.
    """
    volatility = trailing_volatility(panel)[sections.windows]
    known = np.isfinite(volatility)
    market = np.array(
        [label[here].mean() for label, here in zip(sections.labels, sections.scored, strict=True)]
    )
    regimes: list[tuple[str, BoolArray]] = []
    if known.sum() >= MIN_MEMBERS:
        low, high = np.quantile(volatility[known], [1 / 3, 2 / 3])
        regimes += [
            ("volatility: low third", known & (volatility <= low)),
            ("volatility: middle third", known & (volatility > low) & (volatility <= high)),
            ("volatility: high third", known & (volatility > high)),
        ]
    regimes += [("market rises next", market > 0), ("market falls next", market <= 0)]
    found = []
    for name, member in regimes:
        if member.any():
            cut = {model: np.where(member, series, np.nan) for model, series in rank_ics.items()}
            found.append({"name": name, "windows": int(member.sum()), **_means(cut, intervals)})
    return found


def trailing_volatility(panel: MarketPanel) -> Float64Array:
    """Return the standard deviation of the equal-weight return over the last 20 windows, (T,); NaN before."""
    returns = panel.returns()
    finite = np.isfinite(returns)
    count = finite.sum(axis=1)
    mean = np.full(len(returns), np.nan)
    np.divide(np.where(finite, returns, 0.0).sum(axis=1), count, out=mean, where=count > 0)
    out = np.full(len(mean), np.nan)
    if len(mean) >= VOLATILITY_WINDOWS:
        rolling = np.lib.stride_tricks.sliding_window_view(mean, VOLATILITY_WINDOWS)
        out[VOLATILITY_WINDOWS - 1 :] = rolling.std(axis=1, ddof=1)
    return out


def _means(series: dict[str, Float64Array], intervals: Intervals) -> dict[str, Any]:
    """Return each model's mean with its limits, and the difference of the first two."""
    found: dict[str, Any] = {"models": {name: intervals.mean(values) for name, values in series.items()}}
    if len(series) > 1:
        first, second = list(series.values())[:2]
        found["difference"] = intervals.mean(first - second)
    return found
