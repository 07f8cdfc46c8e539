"""Runs of ticks from arrays."""

from __future__ import annotations

import numpy as np
import pytest

from topics import tick_builders
from topics.errors import SchemaError, UnknownVersion
from topics.types import UNDEF_PRICE


def test_scalars_hold_for_every_row() -> None:
    run = tick_builders.trades(
        instrument_id=np.array([1, 2]), ts_event=np.array([5, 6]), price=100, size=7, side=[b"A", b"B"]
    )
    assert run.records["price"].tolist() == [100, 100]
    assert run.records["side"].tolist() == [b"A", b"B"]
    assert run.records["action"].tolist() == [b"T", b"T"]
    assert run.records["ts_recv"].tolist() == [5, 6]


def test_quotes_leave_out_a_side_and_mark_trades() -> None:
    run = tick_builders.quotes(
        instrument_id=[1, 1], ts_event=[5, 6], bid_price=[10, UNDEF_PRICE], ask_price=12,
        price=[UNDEF_PRICE, 11], size=[0, 3], action=[b"M", b"T"],
    )  # fmt: skip
    assert run.schema == "mbp-1"
    assert run.records["bid_px_00"].tolist() == [10, UNDEF_PRICE]
    assert run.records["action"].tolist() == [b"M", b"T"]


def test_bbo_has_no_action() -> None:
    run = tick_builders.quotes(instrument_id=1, ts_event=5, bid_price=10, ask_price=12, schema="bbo-1s")
    assert run.records["bid_px_00"].tolist() == [10]


def test_bars_carry_their_schema() -> None:
    run = tick_builders.bars(
        instrument_id=1, ts_event=0, open=1, high=4, low=1, close=2, volume=9, schema="ohlcv-1m"
    )
    assert (run.schema, int(run.records["rtype"][0]), int(run.records["volume"][0])) == ("ohlcv-1m", 0x21, 9)


def test_no_rows_make_an_empty_run() -> None:
    empty = np.array([], dtype=np.int64)
    assert (
        len(tick_builders.trades(instrument_id=empty, ts_event=empty, price=empty, size=empty).records) == 0
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"price": [1, 2, 3]}, "differ in length"),
        ({"size": [1, 2**32]}, r"`size` must be in 0\.\.4294967295, was 1\.\.4294967296"),
        ({"size": [-1, 1]}, r"`size` must be in 0\.\."),
        ({"ts_event": [-1, 1]}, "`ts_event` must be in 0"),
        ({"price": [1.5, 2.0]}, "`price` must be of integers, was float64"),
    ],
)
def test_what_does_not_fit_a_field_is_refused(changes: dict[str, object], message: str) -> None:
    columns = {"instrument_id": [1, 2], "ts_event": [1, 2], "price": [1, 2], "size": [1, 2]}
    with pytest.raises(SchemaError, match=message):
        tick_builders.trades(**{**columns, **changes})


def test_quotes_cannot_be_built_as_bars() -> None:
    with pytest.raises(SchemaError, match="'ohlcv-1d' has no field"):
        tick_builders.quotes(instrument_id=1, ts_event=1, bid_price=1, ask_price=2, schema="ohlcv-1d")
    with pytest.raises(UnknownVersion):
        tick_builders.quotes(instrument_id=1, ts_event=1, bid_price=1, ask_price=2, schema="mbo")
