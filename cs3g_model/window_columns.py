"""Closed windows as arrays over instruments, and each instrument's last close before each of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model.errors import ShapeError
from cs3g_model.jit import kernel

__all__ = ["COLUMN_NAMES", "FLOAT_COLUMNS", "UNDEFINED_PRICE", "WindowColumns", "last_close_before"]

UNDEFINED_PRICE: Final = 2**63 - 1
"""No price: DBN's null, as in `topics.types.UNDEF_PRICE`."""


@dataclass(frozen=True, slots=True)
class WindowColumns:
    """Closed windows as (T, N) arrays; cells where `mask` is False hold anything finite and are ignored.

    Attributes
    ----------
    ts_close
        (T,) int64 ns, end of the half-open window [ts_open, ts_close).
    mask
        (T, N) bool, whether the instrument has a price in the window.
    n_ticks, n_trades, n_quotes
        (T, N) int64 counts of records.
    open, high, low, close
        (T, N) int64 prices in 1e-9, > 0.
    volume, buy_volume, sell_volume
        (T, N) int64 in units of the instrument's size.
    notional
        (T, N) float64, sum of price x size in currency.
    sum_sq_return
        (T, N) float64, sum of squared simple returns inside the window.
    spread_sum, quote_imbalance_sum
        (T, N) float64, sums over the quotes.
    ts_last
        (T, N) int64 ns of the last tick.
    """

    ts_close: NDArray[np.int64]
    mask: NDArray[np.bool_]
    n_ticks: NDArray[np.int64]
    n_trades: NDArray[np.int64]
    n_quotes: NDArray[np.int64]
    open: NDArray[np.int64]
    high: NDArray[np.int64]
    low: NDArray[np.int64]
    close: NDArray[np.int64]
    volume: NDArray[np.int64]
    buy_volume: NDArray[np.int64]
    sell_volume: NDArray[np.int64]
    notional: NDArray[np.float64]
    sum_sq_return: NDArray[np.float64]
    spread_sum: NDArray[np.float64]
    quote_imbalance_sum: NDArray[np.float64]
    ts_last: NDArray[np.int64]

    def __post_init__(self) -> None:
        shape = self.mask.shape
        for name in ("ts_close", *COLUMN_NAMES):
            found, expected = getattr(self, name).shape, shape[:1] if name == "ts_close" else shape
            if len(shape) != 2 or found != expected:
                raise ShapeError(f"`{name}` must have the shape {expected} of `mask`, was {found}")

    @classmethod
    def zeros(cls, ts_close: NDArray[np.int64], n_instruments: int) -> WindowColumns:
        """Make windows in which nothing ticked, to be filled in."""
        shape = (len(ts_close), n_instruments)
        # Of one block: zeros of either type are the same bytes.
        block = np.zeros((len(COLUMN_NAMES), *shape), np.int64)
        columns: dict[str, Any] = dict(zip(COLUMN_NAMES, block, strict=True))
        columns |= {name: columns[name].view(np.float64) for name in FLOAT_COLUMNS}
        return cls(ts_close=ts_close, mask=np.zeros(shape, np.bool_), **columns)


COLUMN_NAMES: Final = tuple(
    field.name for field in fields(WindowColumns) if field.name not in ("ts_close", "mask")
)
"""The (T, N) columns besides the mask, as they are named in a row of a closed window."""

FLOAT_COLUMNS: Final = ("notional", "sum_sq_return", "spread_sum", "quote_imbalance_sum")
"""Those of the columns that are float64; the others are int64."""


def last_close_before(
    close: NDArray[np.int64], mask: NDArray[np.bool_], carry: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Find each instrument's last close before each window.

    Parameters
    ----------
    close
        (T, N) int64 in 1e-9.
    mask
        (T, N) bool, whether `close` is there.
    carry
        (N,) int64, the last close before the first window; `UNDEFINED_PRICE` where there is none.

    Returns
    -------
    (T, N) int64, `UNDEFINED_PRICE` where there is none. The carry for the next run is
    `np.where(mask[-1], close[-1], previous[-1])`.
    """
    previous = np.empty(close.shape, np.int64)
    _fill_last_close(np.ascontiguousarray(close), np.ascontiguousarray(mask), carry, previous)
    return previous


@kernel
def _fill_last_close(
    close: NDArray[np.int64],
    mask: NDArray[np.bool_],
    carry: NDArray[np.int64],
    previous: NDArray[np.int64],
) -> None:
    for n in range(close.shape[1]):
        last = carry[n]
        for t in range(close.shape[0]):
            previous[t, n] = last
            if mask[t, n]:
                last = close[t, n]
