"""Which ticks no window may take, and why: they go to dead letters with the cause's name.

A heartbeat is valid whatever its prices are, but never without a time: it moves a watermark.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from topics.runs import TickRun
from topics.ticks import BBO_DTYPE, MBP1_DTYPE, OHLCV_DTYPE, TRADES_DTYPE, is_heartbeat
from topics.types import UNDEF_PRICE, BoolArray, Int64Array, RecordArray

MAX_TS_EVENT: Final = 2**63 - 1
MAX_PRICE: Final = 2**62 - 1
"""Largest price taken, 4.6e9 in currency: the sum of two stays within int64."""

CAUSES: Final = (
    "valid",
    "undefined_time",
    "undefined_price",
    "price_not_positive",
    "price_too_large",
    "no_quote",
    "high_below_low",
    "price_outside_range",
    "volume_too_large",
)
"""Names of the codes that `invalid_causes` returns."""

_CODE: Final = {name: code for code, name in enumerate(CAUSES)}


def valid_rows(run: TickRun) -> BoolArray:
    """Return which rows a window may take; heartbeats count as valid.

    Returns
    -------
    (n,) bool.
    """
    mask: BoolArray = invalid_causes(run) == 0
    return mask


def invalid_causes(run: TickRun) -> NDArray[np.uint8]:
    """Return each row's cause as an index into `CAUSES`, 0 for a valid row.

    Returns
    -------
    (n,) uint8.
    """
    records = run.records
    causes = np.zeros(len(records), dtype=np.uint8)
    if records.dtype == TRADES_DTYPE:
        _mark_price(causes, records["price"])
    elif records.dtype == MBP1_DTYPE:
        trade = records["action"] == b"T"
        _mark_price(causes, records["price"], where=trade)
        # A trade may come without a book; a quote must have at least one side.
        _mark_quote(causes, records, required=~trade)
    elif records.dtype == BBO_DTYPE:
        _mark_quote(causes, records, required=None)
    elif records.dtype == OHLCV_DTYPE:
        _mark_bar(causes, records)
    beats = is_heartbeat(records)
    if beats.any():
        causes[beats] = 0
    causes[records["ts_event"] > MAX_TS_EVENT] = _CODE["undefined_time"]
    return causes


def _mark(causes: NDArray[np.uint8], wrong: BoolArray, name: str) -> None:
    # The first cause found is the one reported.
    if wrong.any():
        causes[wrong & (causes == 0)] = _CODE[name]


def _mark_price(causes: NDArray[np.uint8], price: Int64Array, where: BoolArray | None = None) -> None:
    for name, wrong in (
        ("undefined_price", price == UNDEF_PRICE),
        ("price_not_positive", price <= 0),
        ("price_too_large", price > MAX_PRICE),
    ):
        _mark(causes, wrong if where is None else wrong & where, name)


def _mark_quote(causes: NDArray[np.uint8], records: RecordArray, required: BoolArray | None) -> None:
    bid, ask = records["bid_px_00"], records["ask_px_00"]
    has_bid, has_ask = bid != UNDEF_PRICE, ask != UNDEF_PRICE
    missing = ~(has_bid | has_ask)
    _mark(causes, missing if required is None else missing & required, "no_quote")
    _mark(causes, (bid <= 0) | (ask <= 0), "price_not_positive")
    _mark(causes, ((bid > MAX_PRICE) & has_bid) | ((ask > MAX_PRICE) & has_ask), "price_too_large")


def _mark_bar(causes: NDArray[np.uint8], records: RecordArray) -> None:
    for name in ("open", "high", "low", "close"):
        _mark_price(causes, records[name])
    low, high = records["low"], records["high"]
    _mark(causes, high < low, "high_below_low")
    for name in ("open", "close"):
        price = records[name]
        _mark(causes, (price < low) | (price > high), "price_outside_range")
    _mark(causes, records["volume"] > MAX_TS_EVENT, "volume_too_large")
