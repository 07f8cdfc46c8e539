"""A run's records as the columns that the kernels take: contiguous, so that they compile for one layout.

`is_clean` is a quick look for runs in which nothing at all is odd, which is nearly every one; whatever it
does not pass is judged row by row in `pipeline.refusals`, the one place that knows the rules and their names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cs3g_model.jit import kernel
from pipeline import fold
from topics.ticks import MBP1_DTYPE, TRADES_DTYPE, TickSchema
from topics.types import Int32Array, Int64Array, RecordArray, UInt32Array
from topics.validity import MAX_PRICE

Letters = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TradeColumns:
    """Trades; every array is (n,)."""

    ts_event: Int64Array
    price: Int64Array
    size: Int64Array
    side: Letters

    def is_clean(self, instrument_id: UInt32Array) -> bool:
        """Return whether every price is one; heartbeats need none."""
        return _prices_are_clean(instrument_id, self.price)

    def fold(self, slots: Int32Array, accumulators: RecordArray) -> None:
        """Fold the rows into their accumulators."""
        fold.fold_trades(slots, self.ts_event, self.price, self.size, self.side, accumulators)


@dataclass(frozen=True, slots=True)
class QuoteColumns:
    """Best bids and asks, trades among them where the action is T; every array is (n,)."""

    ts_event: Int64Array
    price: Int64Array
    size: Int64Array
    side: Letters
    action: Letters
    bid: Int64Array
    ask: Int64Array
    bid_size: Int64Array
    ask_size: Int64Array
    book_with_trades: bool

    def is_clean(self, instrument_id: UInt32Array) -> bool:
        """Return whether every trade has a price and every quote both sides; heartbeats need none."""
        return _quotes_are_clean(instrument_id, self.action, self.price, self.bid, self.ask)

    def fold(self, slots: Int32Array, accumulators: RecordArray) -> None:
        """Fold the rows into their accumulators."""
        fold.fold_quotes(
            slots,
            self.ts_event,
            self.price,
            self.size,
            self.side,
            self.action,
            self.bid,
            self.ask,
            self.bid_size,
            self.ask_size,
            self.book_with_trades,
            accumulators,
        )


@dataclass(frozen=True, slots=True)
class BarColumns:
    """Bars; every array is (n,)."""

    ts_event: Int64Array
    open: Int64Array
    high: Int64Array
    low: Int64Array
    close: Int64Array
    volume: Int64Array

    def is_clean(self, instrument_id: UInt32Array) -> bool:
        """Return whether every bar is one; heartbeats need no prices."""
        return _bars_are_clean(instrument_id, self.open, self.high, self.low, self.close, self.volume)

    def fold(self, slots: Int32Array, accumulators: RecordArray) -> None:
        """Fold the rows into their accumulators."""
        fold.fold_bars(
            slots, self.ts_event, self.open, self.high, self.low, self.close, self.volume, accumulators
        )


Columns = TradeColumns | QuoteColumns | BarColumns


def columns_of(schema: TickSchema, records: RecordArray) -> Columns:
    """Return the columns of a schema's records."""
    ts_event = _contiguous(records, "ts_event").view(np.int64)
    if schema.is_bar:
        return BarColumns(
            ts_event,
            _contiguous(records, "open"),
            _contiguous(records, "high"),
            _contiguous(records, "low"),
            _contiguous(records, "close"),
            _contiguous(records, "volume").view(np.int64),
        )
    price, size, side = _contiguous(records, "price"), _signed(records, "size"), _letters(records, "side")
    if schema.dtype == TRADES_DTYPE:
        return TradeColumns(ts_event, price, size, side)
    # A sampled book (bbo) repeats the last trade: only its quotes are news.
    has_trades = schema.dtype == MBP1_DTYPE
    return QuoteColumns(
        ts_event,
        price,
        size,
        side,
        _letters(records, "action") if has_trades else np.zeros(len(records), np.uint8),
        _contiguous(records, "bid_px_00"),
        _contiguous(records, "ask_px_00"),
        _signed(records, "bid_sz_00"),
        _signed(records, "ask_sz_00"),
        schema.name == "tbbo",
    )


@kernel
def keys_are_clean(
    ts_event: Int64Array, instrument_id: UInt32Array, last_ns: int, partition: int, partitions: int
) -> bool:
    """Return whether all rows are heartbeats or instruments of the partition, in times up to last_ns."""
    clean = True
    for i in range(len(ts_event)):
        clean &= 0 <= ts_event[i] <= last_ns
        clean &= (instrument_id[i] % partitions == partition) | (instrument_id[i] == 0)
    return clean


@kernel
def _prices_are_clean(instrument_id: UInt32Array, price: Int64Array) -> bool:
    clean = True
    for i in range(len(price)):
        clean &= (0 < price[i] <= MAX_PRICE) | (instrument_id[i] == 0)
    return clean


@kernel
def _quotes_are_clean(
    instrument_id: UInt32Array, action: Letters, price: Int64Array, bid: Int64Array, ask: Int64Array
) -> bool:
    clean = True
    for i in range(len(price)):
        is_beat = instrument_id[i] == 0
        clean &= is_beat | (action[i] != fold.TRADE_ACTION) | (0 < price[i] <= MAX_PRICE)
        clean &= is_beat | ((0 < bid[i] <= MAX_PRICE) & (0 < ask[i] <= MAX_PRICE))
    return clean


@kernel
def _bars_are_clean(
    instrument_id: UInt32Array,
    open_: Int64Array,
    high: Int64Array,
    low: Int64Array,
    close: Int64Array,
    volume: Int64Array,
) -> bool:
    clean = True
    for i in range(len(open_)):
        is_beat = instrument_id[i] == 0
        clean &= is_beat | ((low[i] > 0) & (high[i] <= MAX_PRICE) & (volume[i] >= 0))
        clean &= is_beat | ((low[i] <= open_[i] <= high[i]) & (low[i] <= close[i] <= high[i]))
    return clean


def _contiguous(records: RecordArray, name: str) -> Int64Array:
    return np.ascontiguousarray(records[name])


def _signed(records: RecordArray, name: str) -> Int64Array:
    return records[name].astype(np.int64)


def _letters(records: RecordArray, name: str) -> Letters:
    return np.ascontiguousarray(records[name]).view(np.uint8)
