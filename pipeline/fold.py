"""Kernels that fold the values of ticks into their accumulators, in arrival order.

`slots.assign_slots` said before which accumulator a tick belongs to. All are left folds over the partition's
ticks, so how the ticks are cut into messages never changes a bit.

A price has a rank: trade over bar over two-sided quote over crossed quote over one-sided quote. A window's
prices, volumes and returns come from its highest rank only: the first record of a higher rank starts them
afresh. Open is the price of the earliest ts_event (the first to arrive of equal ones), close that of the
latest (the last to arrive). So they, the counts and the sums of integers depend on the order of arrival
neither, except for buys and sells told apart by the tick rule.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model.jit import kernel
from topics.types import PRICE_SCALE, UNDEF_PRICE, Int32Array, Int64Array, RecordArray

ONE_SIDED, CROSSED, QUOTE, BAR, TRADE = 1, 2, 3, 4, 5

_BUY: Final = ord("B")
_SELL: Final = ord("A")
TRADE_ACTION: Final = ord("T")
_PRICE_UNIT: Final = 1.0 / PRICE_SCALE


@kernel
def _restart_prices(accumulators: RecordArray, slot: int) -> None:
    a = accumulators[slot]
    a.volume = 0
    a.buy_volume = 0
    a.sell_volume = 0
    a.notional = 0.0
    a.sum_sq_return = 0.0
    a.last_price = 0
    a.direction = 0


@kernel
def _admit(accumulators: RecordArray, slot: int, rank: int) -> bool:
    # Whether a price of this rank counts; a higher one than before starts the prices afresh.
    if rank > accumulators[slot].rank:
        accumulators[slot].rank = rank
        _restart_prices(accumulators, slot)
    return bool(rank == accumulators[slot].rank)


@kernel
def _fold_price(
    accumulators: RecordArray, slot: int, ts: int, first: int, high: int, low: int, last: int
) -> None:
    a = accumulators[slot]
    if a.last_price == 0:
        a.open = first
        a.high = high
        a.low = low
        a.close = last
        a.ts_open_price = ts
        a.ts_close_price = ts
    else:
        change = float(last) / float(a.last_price) - 1.0
        a.sum_sq_return += change * change
        a.high = max(a.high, high)
        a.low = min(a.low, low)
        if ts < a.ts_open_price:
            a.open = first
            a.ts_open_price = ts
        if ts >= a.ts_close_price:
            a.close = last
            a.ts_close_price = ts
    a.last_price = last


@kernel
def _fold_trade(accumulators: RecordArray, slot: int, ts: int, price: int, size: int, side: int) -> None:
    a = accumulators[slot]
    a.n_trades += 1
    _admit(accumulators, slot, TRADE)
    if a.last_price != 0 and price != a.last_price:
        a.direction = 1 if price > a.last_price else -1
    if side == _BUY or (side != _SELL and a.direction > 0):
        a.buy_volume += size
    elif side == _SELL or a.direction < 0:
        a.sell_volume += size
    a.volume += size
    a.notional += float(price) * _PRICE_UNIT * float(size)
    _fold_price(accumulators, slot, ts, price, price, price, price)


@kernel
def _fold_quote(
    accumulators: RecordArray, slot: int, ts: int, bid: int, ask: int, bid_size: int, ask_size: int
) -> None:
    a = accumulators[slot]
    a.n_quotes += 1
    if bid == UNDEF_PRICE or ask == UNDEF_PRICE:
        rank = ONE_SIDED
        price = bid if ask == UNDEF_PRICE else ask
    else:
        rank = CROSSED if bid > ask else QUOTE
        price = (bid + ask) // 2
    if rank == QUOTE:
        a.spread_sum += float(ask - bid) / (0.5 * (float(bid) + float(ask)))
        if bid_size + ask_size > 0:
            a.quote_imbalance_sum += float(bid_size - ask_size) / float(bid_size + ask_size)
    if _admit(accumulators, slot, rank):
        _fold_price(accumulators, slot, ts, price, price, price, price)


@kernel
def fold_trades(
    slots: Int32Array,
    ts_event: Int64Array,
    price: Int64Array,
    size: Int64Array,
    side: NDArray[np.uint8],
    accumulators: RecordArray,
) -> None:
    """Fold trades; where the record does not name the aggressor, the tick rule inside the window does."""
    for i in range(len(slots)):
        if slots[i] >= 0:
            _fold_trade(accumulators, slots[i], ts_event[i], price[i], size[i], side[i])


@kernel
def fold_quotes(
    slots: Int32Array,
    ts_event: Int64Array,
    price: Int64Array,
    size: Int64Array,
    side: NDArray[np.uint8],
    action: NDArray[np.uint8],
    bid: Int64Array,
    ask: Int64Array,
    bid_size: Int64Array,
    ask_size: Int64Array,
    book_with_trades: bool,
    accumulators: RecordArray,
) -> None:
    """Fold best bids and asks, and the trades among them (action T).

    A trade's book is the last quote's over again, unless the schema has no quotes of its own (`tbbo`):
    only with `book_with_trades` it counts as a quote too.
    """
    for i in range(len(slots)):
        if slots[i] < 0:
            continue
        is_trade = action[i] == TRADE_ACTION
        has_book = bid[i] != UNDEF_PRICE or ask[i] != UNDEF_PRICE
        if is_trade:
            _fold_trade(accumulators, slots[i], ts_event[i], price[i], size[i], side[i])
        if has_book and (book_with_trades or not is_trade):
            _fold_quote(accumulators, slots[i], ts_event[i], bid[i], ask[i], bid_size[i], ask_size[i])


@kernel
def fold_bars(
    slots: Int32Array,
    ts_event: Int64Array,
    open_: Int64Array,
    high: Int64Array,
    low: Int64Array,
    close: Int64Array,
    volume: Int64Array,
    accumulators: RecordArray,
) -> None:
    """Fold bars; their currency volume is taken at the mean of high, low and close."""
    for i in range(len(slots)):
        if slots[i] < 0 or not _admit(accumulators, slots[i], BAR):
            continue
        a = accumulators[slots[i]]
        a.volume += volume[i]
        typical = (float(high[i]) + float(low[i]) + float(close[i])) / 3.0
        a.notional += typical * _PRICE_UNIT * float(volume[i])
        _fold_price(accumulators, slots[i], ts_event[i], open_[i], high[i], low[i], close[i])
