"""A panel of prices as labels and the universe that is scored; the rules of the evaluation protocol.

Letters: T windows of the panel, W windows that are judged, N instruments.

An instrument is known in a window when it has a price there and in each of the 16 windows before; it is scored
when it also has a label. What is not scored is dropped, never filled. Labels are simple returns, winsorized.
The last windows of a part, whose labels are realized after its end, are not judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from cs3g_model.errors import ConfigError, EvaluationError, ShapeError
from cs3g_model.evaluation.calendar import bar_length_ns, session_numbers, windows_a_year

__all__ = ["HISTORY", "CrossSections", "Horizon", "MarketPanel", "cross_sections"]

HISTORY: Final = 16
"""Windows before the current one in which an instrument must have had a price, without a gap."""

RETURN_LIMIT: Final = 0.40
"""Returns over one window are winsorized at this: nearly all beyond are genuine, dropping them would select."""

MIN_NAMES: Final = 100
"""Fewest instruments of a window that is judged, where windows have as many."""

Horizon = Literal[1, 5, 101]
"""1: close to next close; 5: to the fifth; 101: next close to the one after, the same score executed late."""

FloatArray = NDArray[np.float64]
Int64Array = NDArray[np.int64]
Mask = NDArray[np.bool_]

_PURGED: Final = {1: 1, 5: 5, 101: 2}  # windows at a part's end whose label ends after it
_REACH: Final = {1: 1, 5: 5, 101: 2}  # windows from a score to the end of its label


@dataclass(frozen=True, slots=True)
class MarketPanel:
    """Prices of one market.

    Attributes
    ----------
    starts_ns
        (T,) int64 start of each window, ns since the epoch, strictly ascending.
    symbols
        (N,) names, sorted.
    prices
        (T, N) float64 adjusted closes; NaN where there is no usable row.
    """

    starts_ns: Int64Array
    symbols: tuple[str, ...]
    prices: FloatArray

    def __post_init__(self) -> None:
        if self.prices.shape != (len(self.starts_ns), len(self.symbols)):
            raise ShapeError(
                f"`prices` must be (T, N) = ({len(self.starts_ns)}, {len(self.symbols)}), were {self.prices.shape}"
            )
        if not self.prices.size:
            raise EvaluationError("the panel is empty: it needs windows and instruments with a price")
        if (np.diff(self.starts_ns) <= 0).any():
            raise ShapeError("`starts_ns` must be strictly ascending")
        if not (self.prices[~np.isnan(self.prices)] > 0).all():
            raise EvaluationError("`prices` must be above zero, or NaN for none")

    @property
    def bar_ns(self) -> int:
        """Length of a window, ns."""
        return bar_length_ns(self.starts_ns)

    def returns(self) -> FloatArray:
        """Return (T, N) simple returns from the window before, not winsorized; NaN where a price is missing."""
        out = np.full_like(self.prices, np.nan)
        out[1:] = self.prices[1:] / self.prices[:-1] - 1
        return out

    def known(self, history: int = HISTORY) -> Mask:
        """Return (T, N) whether an instrument has a price in the window and the `history` before it."""
        present = np.isfinite(self.returns())
        counts = np.cumsum(np.vstack([np.zeros((1, len(self.symbols)), np.int64), present]), axis=0)
        out = np.zeros(self.prices.shape, np.bool_)
        if len(out) > history:
            out[history:] = counts[history + 1 :] - counts[1 : len(out) - history + 1] == history
        return out

    def labels(self, horizon: Horizon = 1) -> FloatArray:
        """Return the (T, N) returns that scores are judged by; NaN where there is none.

        Intraday, a label that leaves its session is none.
        """
        reach, T = _REACH[horizon], len(self.prices)
        out = np.full_like(self.prices, np.nan)
        if reach >= T:
            return out
        start, limit = (1, RETURN_LIMIT) if horizon == 101 else (0, RETURN_LIMIT * (2 if horizon == 5 else 1))
        change = self.prices[reach:] / self.prices[start : T - reach + start] - 1
        session = session_numbers(self.starts_ns, self.bar_ns)
        within = session[reach:] == session[:-reach]
        out[:-reach] = np.where(within[:, None], np.clip(change, -limit, limit), np.nan)
        return out


@dataclass(frozen=True, slots=True)
class CrossSections:
    """The windows that are judged, each with its universe and labels.

    Attributes
    ----------
    windows
        (W,) int64 positions in the panel's windows.
    starts_ns
        (W,) int64.
    symbols
        (N,) names.
    labels
        (W, N) float64.
    scored
        (W, N) bool.
    tradable
        (W, N) bool, scored and not at its price limit: only these can be bought and sold.
    windows_a_year
        By which means are annualized.
    horizon
        Of the labels.
    min_names
        Fewest scored instruments of a window here.
    """

    windows: Int64Array
    starts_ns: Int64Array
    symbols: tuple[str, ...]
    labels: FloatArray
    scored: Mask
    tradable: Mask
    windows_a_year: float
    horizon: Horizon
    min_names: int


def cross_sections(
    panel: MarketPanel,
    *,
    start_ns: int | None = None,
    stop_ns: int | None = None,
    horizon: Horizon = 1,
    history: int = HISTORY,
    price_limit: float | None = None,
    min_names: int | None = None,
    annual_windows: float | None = None,
) -> CrossSections:
    """Cut a part out of a panel: its windows, who is scored in them, and their labels.

    Parameters
    ----------
    start_ns, stop_ns
        Windows that start in [start_ns, stop_ns); None for no bound.
    horizon
        Of the labels.
    history
        Windows before the current one in which an instrument must have had a price (>= 1).
    price_limit
        An instrument whose last return is at least this far from zero cannot be traded at that close.
    min_names
        Fewest scored instruments of a window that is judged (>= 2). By default 100 where the median window of the
        part has as many, else half of what that one has.
    annual_windows
        Windows a year; by default from the panel's calendar.

    Raises
    ------
    ConfigError
        If `history` is below 1.
    EvaluationError
        If fewer than two windows can be judged.
    """
    if history < 1:
        raise ConfigError(f"`history` (={history}) must be at least 1")
    inside = np.ones(len(panel.starts_ns), np.bool_)
    if start_ns is not None:
        inside &= panel.starts_ns >= start_ns
    if stop_ns is not None:
        inside &= panel.starts_ns < stop_ns
    labels, known = panel.labels(horizon), panel.known(history)
    scored = known & np.isfinite(labels)
    windows = np.flatnonzero(inside)[: -_PURGED[horizon]]
    windows = windows[windows >= history]
    counts = scored[windows].sum(axis=1)
    most = int(counts.max(initial=0))
    if most < 2:
        raise EvaluationError(
            f"no window can be judged: of {int(inside.sum())} windows in the part, the best has {most} instruments"
            f" with prices in {history + 1} windows without a gap and a label; it takes two"
        )
    if min_names is None:
        median = int(np.median(counts))
        min_names = MIN_NAMES if median >= MIN_NAMES else max(2, median // 2)
    windows = windows[counts >= min_names]
    if len(windows) < 2:
        raise EvaluationError(
            f"{len(windows)} windows of the part have {min_names} instruments to score; statistics take two:"
            " take more dates, or allow smaller windows"
        )
    tradable = scored[windows]
    if price_limit is not None:
        tradable = tradable & (np.abs(np.nan_to_num(panel.returns()[windows])) < price_limit)
    return CrossSections(
        windows=windows,
        starts_ns=panel.starts_ns[windows],
        symbols=panel.symbols,
        labels=labels[windows],
        scored=scored[windows],
        tradable=tradable,
        windows_a_year=windows_a_year(panel.starts_ns) if annual_windows is None else annual_windows,
        horizon=horizon,
        min_names=min_names,
    )
