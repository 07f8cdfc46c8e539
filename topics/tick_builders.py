"""Runs of ticks from plain arrays, for readers, bridges and tests.

Every array is (n,) or a scalar that holds for all; prices are int64 in 1e-9, times ns since the UNIX epoch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from topics.errors import SchemaError
from topics.runs import TickRun
from topics.ticks import blank_records, tick_schema
from topics.types import UNDEF_PRICE

_BUY, _SELL, _NONE = b"B", b"A", b"N"


def trades(
    *,
    instrument_id: ArrayLike,
    ts_event: ArrayLike,
    price: ArrayLike,
    size: ArrayLike,
    side: ArrayLike = _NONE,
    ts_recv: ArrayLike | None = None,
    sequence: ArrayLike = 0,
    publisher_id: ArrayLike = 0,
) -> TickRun:
    """Return trades; `side` is the aggressor, b"B" bought, b"A" sold, b"N" unknown.

    Raises
    ------
    SchemaError
        The arrays differ in length, or a number does not fit its field.
    """
    return _build(
        "trades",
        instrument_id=instrument_id,
        ts_event=ts_event,
        price=price,
        size=size,
        side=side,
        action=b"T",
        ts_recv=ts_event if ts_recv is None else ts_recv,
        sequence=sequence,
        publisher_id=publisher_id,
    )


def quotes(
    *,
    instrument_id: ArrayLike,
    ts_event: ArrayLike,
    bid_price: ArrayLike,
    ask_price: ArrayLike,
    bid_size: ArrayLike = 0,
    ask_size: ArrayLike = 0,
    price: ArrayLike = UNDEF_PRICE,
    size: ArrayLike = 0,
    action: ArrayLike = b"M",
    side: ArrayLike = _NONE,
    ts_recv: ArrayLike | None = None,
    sequence: ArrayLike = 0,
    publisher_id: ArrayLike = 0,
    schema: str = "mbp-1",
) -> TickRun:
    """Return best bids and asks; in `mbp-1` and `tbbo` rows of action b"T" are trades of `price` and `size`.

    Raises
    ------
    SchemaError
        The arrays differ in length, or a number does not fit its field.
    """
    names = tick_schema(schema).dtype.names or ()
    columns: dict[str, Any] = {
        "instrument_id": instrument_id,
        "ts_event": ts_event,
        "price": price,
        "size": size,
        "side": side,
        "bid_px_00": bid_price,
        "ask_px_00": ask_price,
        "bid_sz_00": bid_size,
        "ask_sz_00": ask_size,
        "ts_recv": ts_event if ts_recv is None else ts_recv,
        "sequence": sequence,
        "publisher_id": publisher_id,
    }
    if "action" in names:
        columns["action"] = action
    return _build(schema, **columns)


def bars(
    *,
    instrument_id: ArrayLike,
    ts_event: ArrayLike,
    open: ArrayLike,
    high: ArrayLike,
    low: ArrayLike,
    close: ArrayLike,
    volume: ArrayLike = 0,
    publisher_id: ArrayLike = 0,
    schema: str = "ohlcv-1d",
) -> TickRun:
    """Return bars; `ts_event` is the START of each bar.

    Raises
    ------
    SchemaError
        The arrays differ in length, or a number does not fit its field.
    """
    return _build(
        schema,
        instrument_id=instrument_id,
        ts_event=ts_event,
        open=open,
        high=high,
        low=low,
        close=close,
        volume=volume,
        publisher_id=publisher_id,
    )


def _build(schema_name: str, **columns: ArrayLike) -> TickRun:
    schema = tick_schema(schema_name)
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim}
    if len(set(lengths.values())) > 1:
        raise SchemaError(f"the columns differ in length: {lengths}")
    records = blank_records(schema, next(iter(lengths.values()), 1))
    fields = schema.dtype.fields
    if fields is None or not columns.keys() <= fields.keys():
        raise SchemaError(
            f"schema {schema_name!r} has no field {', '.join(columns.keys() - (fields or {}).keys())}"
        )
    for name, array in arrays.items():
        kind = fields[name][0]
        if kind.kind in "iu":
            _check_range(name, array, kind)
        records[name] = array
    return TickRun(schema.name, records)


def _check_range(name: str, array: np.ndarray[Any, Any], kind: np.dtype[Any]) -> None:
    if array.dtype.kind not in "iu":
        raise SchemaError(f"`{name}` must be of integers, was {array.dtype}", field_path=name)
    if not array.size:
        return
    limits = np.iinfo(kind)
    low, high = int(array.min()), int(array.max())
    if low < limits.min or high > limits.max:
        raise SchemaError(
            f"`{name}` must be in {limits.min}..{limits.max}, was {low}..{high}", field_path=name
        )
