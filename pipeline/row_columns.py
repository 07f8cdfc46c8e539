"""Rows of closed windows as arrays over windows and instruments."""

from __future__ import annotations

import numpy as np

from cs3g_model.jit import kernel
from cs3g_model.window_columns import COLUMN_NAMES, WindowColumns
from topics.types import BoolArray, Float64Array, Int64Array, RecordArray, UInt32Array


def columns_of_rows(rows: RecordArray, instrument_ids: UInt32Array) -> WindowColumns:
    """Return T windows of N instruments.

    Parameters
    ----------
    rows
        Rows of `WINDOW_ROW_DTYPE` by (ts_close, instrument_id), at least one.
    instrument_ids
        (N,) ascending, all that have a row.
    """
    begins = np.diff(rows["ts_close"], prepend=-1) != 0
    columns = WindowColumns.zeros(rows["ts_close"][begins], len(instrument_ids))
    _spread(rows, instrument_ids, columns.mask, *(getattr(columns, name) for name in COLUMN_NAMES))
    return columns


@kernel
def _spread(
    rows: RecordArray,
    instrument_ids: UInt32Array,
    mask: BoolArray,
    n_ticks: Int64Array,
    n_trades: Int64Array,
    n_quotes: Int64Array,
    open_: Int64Array,
    high: Int64Array,
    low: Int64Array,
    close: Int64Array,
    volume: Int64Array,
    buy_volume: Int64Array,
    sell_volume: Int64Array,
    notional: Float64Array,
    sum_sq_return: Float64Array,
    spread_sum: Float64Array,
    quote_imbalance_sum: Float64Array,
    ts_last: Int64Array,
) -> None:
    t, n = -1, 0
    for i in range(len(rows)):
        row = rows[i]
        if i == 0 or row.ts_close != rows[i - 1].ts_close:
            t += 1
            n = 0
        while instrument_ids[n] != row.instrument_id:
            n += 1
        mask[t, n] = True
        n_ticks[t, n] = row.n_ticks
        n_trades[t, n] = row.n_trades
        n_quotes[t, n] = row.n_quotes
        open_[t, n] = row.open
        high[t, n] = row.high
        low[t, n] = row.low
        close[t, n] = row.close
        volume[t, n] = row.volume
        buy_volume[t, n] = row.buy_volume
        sell_volume[t, n] = row.sell_volume
        notional[t, n] = row.notional
        sum_sq_return[t, n] = row.sum_sq_return
        spread_sum[t, n] = row.spread_sum
        quote_imbalance_sum[t, n] = row.quote_imbalance_sum
        ts_last[t, n] = row.ts_last
