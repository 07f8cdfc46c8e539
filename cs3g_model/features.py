"""The F = 12 features of an instrument in a closed window.

Everything is computed per window and instrument by scalar loops, from that window and the last close
before it: no statistic looks ahead, and however T is cut into runs every bit is the same.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model.errors import FeatureError, ShapeError
from cs3g_model.jit import kernel
from cs3g_model.logarithm import logarithm
from cs3g_model.window_columns import FLOAT_COLUMNS, UNDEFINED_PRICE, WindowColumns

__all__ = ["FEATURE_NAMES", "FEATURE_SCHEMA_VERSION", "RETURN_LIMIT", "raw_features"]

FEATURE_NAMES: Final = (
    "return_close",  # close / previous close - 1
    "return_gap",  # open / previous close - 1
    "return_body",  # close / open - 1
    "range",  # (high - low) / close
    "close_location",  # (2 close - high - low) / (high - low): 1 closed at the high, -1 at the low
    "log_notional",  # log(1 + traded currency)
    "vwap_deviation",  # volume-weighted price / close - 1
    "log_trades",  # log(1 + number of trades)
    "imbalance",  # (buy - sell) / (buy + sell), else the quotes' mean size imbalance
    "spread",  # mean relative spread of the quotes
    "realized_volatility",  # root of the summed squared returns; of a single bar by Parkinson 1980
    "staleness",  # share of the window that passed since its last tick
)
FEATURE_SCHEMA_VERSION: Final = 1

RETURN_LIMIT: Final = 0.40
"""Returns are clipped to +-40 %: beyond it nearly everything is a split or an error."""

_PRICE_COLUMNS: Final = ("open", "high", "low", "close")
_NO_COLUMN: Final = 8
_PRICE_UNIT: Final = 1e-9
_PARKINSON: Final = 1.0 / (2.0 * math.sqrt(math.log(2.0)))


def raw_features(
    columns: WindowColumns, previous_close: NDArray[np.int64], size_ns: int
) -> NDArray[np.float64]:
    """Compute the features in their natural units.

    Parameters
    ----------
    columns
        T windows of N instruments.
    previous_close
        (T, N) int64 in 1e-9, from `last_close_before`.
    size_ns
        Length of the window in ns (> 0).

    Returns
    -------
    (T, N, F) float64 in the order of `FEATURE_NAMES`; 0 where absent; always finite.

    Raises
    ------
    FeatureError
        If a present cell has a price that is not > 0, or a sum that is not finite.
    ShapeError
        If shapes differ.
    """
    c = columns
    if size_ns <= 0:
        raise FeatureError(f"`size_ns` (={size_ns}) must be > 0")
    if previous_close.shape != c.mask.shape:
        raise ShapeError(f"`previous_close` must have the shape {c.mask.shape}, was {previous_close.shape}")
    broken = _first_broken(
        c.mask, c.open, c.high, c.low, c.close, *(getattr(c, name) for name in FLOAT_COLUMNS)
    )
    if 0 <= broken < len(_PRICE_COLUMNS):
        raise FeatureError(f"`{_PRICE_COLUMNS[broken]}` must be > 0 and defined wherever `mask` is set")
    if broken >= 0:
        name = FLOAT_COLUMNS[broken - len(_PRICE_COLUMNS)]
        raise FeatureError(f"`{name}` must be finite wherever `mask` is set")
    out = np.zeros((*c.mask.shape, len(FEATURE_NAMES)), np.float64)
    _fill_features(
        c.ts_close,
        c.mask,
        c.n_ticks,
        c.n_trades,
        c.n_quotes,
        c.open,
        c.high,
        c.low,
        c.close,
        c.volume,
        c.buy_volume,
        c.sell_volume,
        c.notional,
        c.sum_sq_return,
        c.spread_sum,
        c.quote_imbalance_sum,
        c.ts_last,
        previous_close,
        size_ns,
        out,
    )
    return out


@kernel
def _first_broken(
    mask: NDArray[np.bool_],
    open_: NDArray[np.int64],
    high: NDArray[np.int64],
    low: NDArray[np.int64],
    close: NDArray[np.int64],
    notional: NDArray[np.float64],
    sum_sq_return: NDArray[np.float64],
    spread_sum: NDArray[np.float64],
    quote_imbalance_sum: NDArray[np.float64],
) -> int:
    # The place of the first column with a value that no present cell may have, -1 for none.
    first = _NO_COLUMN
    for t in range(mask.shape[0]):
        for n in range(mask.shape[1]):
            if not mask[t, n]:
                continue
            if not 0 < open_[t, n] < UNDEFINED_PRICE:
                first = min(first, 0)
            if not 0 < high[t, n] < UNDEFINED_PRICE:
                first = min(first, 1)
            if not 0 < low[t, n] < UNDEFINED_PRICE:
                first = min(first, 2)
            if not 0 < close[t, n] < UNDEFINED_PRICE:
                first = min(first, 3)
            if not math.isfinite(notional[t, n]):
                first = min(first, 4)
            if not math.isfinite(sum_sq_return[t, n]):
                first = min(first, 5)
            if not math.isfinite(spread_sum[t, n]):
                first = min(first, 6)
            if not math.isfinite(quote_imbalance_sum[t, n]):
                first = min(first, 7)
    return first if first < _NO_COLUMN else -1


@kernel
def _clipped_return(price: float, base: float) -> float:
    return min(max(price / base - 1.0, -RETURN_LIMIT), RETURN_LIMIT)


@kernel
def _fill_features(
    ts_close: NDArray[np.int64],
    mask: NDArray[np.bool_],
    n_ticks: NDArray[np.int64],
    n_trades: NDArray[np.int64],
    n_quotes: NDArray[np.int64],
    open_: NDArray[np.int64],
    high: NDArray[np.int64],
    low: NDArray[np.int64],
    close: NDArray[np.int64],
    volume: NDArray[np.int64],
    buy_volume: NDArray[np.int64],
    sell_volume: NDArray[np.int64],
    notional: NDArray[np.float64],
    sum_sq_return: NDArray[np.float64],
    spread_sum: NDArray[np.float64],
    quote_imbalance_sum: NDArray[np.float64],
    ts_last: NDArray[np.int64],
    previous_close: NDArray[np.int64],
    size_ns: int,
    out: NDArray[np.float64],
) -> None:
    for t in range(mask.shape[0]):
        for n in range(mask.shape[1]):
            if not mask[t, n]:
                continue
            o, h, low_, c = float(open_[t, n]), float(high[t, n]), float(low[t, n]), float(close[t, n])
            row = out[t, n]
            before = previous_close[t, n]
            if 0 < before < UNDEFINED_PRICE:
                row[0] = _clipped_return(c, float(before))
                row[1] = _clipped_return(o, float(before))
            row[2] = _clipped_return(c, o)
            row[3] = (h - low_) / c
            if h > low_:
                row[4] = (2.0 * c - h - low_) / (h - low_)
            row[5] = logarithm(1.0 + max(notional[t, n], 0.0))
            if volume[t, n] > 0:
                row[6] = _clipped_return(notional[t, n] / float(volume[t, n]), c * _PRICE_UNIT)
            row[7] = logarithm(1.0 + max(float(n_trades[t, n]), 0.0))
            sided = float(buy_volume[t, n]) + float(sell_volume[t, n])
            quotes = float(n_quotes[t, n])
            if sided > 0.0:
                row[8] = (float(buy_volume[t, n]) - float(sell_volume[t, n])) / sided
            elif quotes > 0.0:
                row[8] = quote_imbalance_sum[t, n] / quotes
            if quotes > 0.0:
                row[9] = spread_sum[t, n] / quotes
            if n_ticks[t, n] == 1:
                row[10] = logarithm(h / low_) * _PARKINSON
            else:
                row[10] = math.sqrt(max(sum_sq_return[t, n], 0.0))
            row[11] = float(ts_close[t] - ts_last[t, n]) / float(size_ns)
