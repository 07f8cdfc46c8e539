"""One tick as JSON."""

from __future__ import annotations

import json

import pytest

from topics import tick_builders
from topics.errors import SchemaError, UnknownVersion
from topics.json_ticks import decode_json_tick, encode_json_tick
from topics.runs import TickRun
from topics.types import UNDEF_PRICE

TRADE = {"schema": "trades", "instrument_id": 7, "ts_event": 5, "price": "101.25", "size": 100}
QUOTE = {"schema": "mbp-1", "instrument_id": 7, "ts_event": 5, "bid_price": "1.5", "ask_price": 1.75}
BAR = {"schema": "ohlcv-1m", "instrument_id": 7, "ts_event": 0,
       "open": 1, "high": "2", "low": 0.5, "close": 1.25, "volume": 10}  # fmt: skip


def decode(body: dict[str, object]) -> TickRun:
    return decode_json_tick(json.dumps(body).encode())


def test_a_trade_equals_the_record_of_its_fields() -> None:
    expected = tick_builders.trades(instrument_id=7, ts_event=5, price=101_250_000_000, size=100)
    for price in ("101.25", 101.25, "101.250000000"):
        run = decode({**TRADE, "price": price})
        assert run.schema == "trades"
        assert run.records.tobytes() == expected.records.tobytes()


def test_prices_are_exact_to_the_last_digit() -> None:
    # As a float this is 123456789.123456791...
    body = b'{"schema":"trades","instrument_id":1,"ts_event":0,"size":1,"price":123456789.123456789}'
    assert decode_json_tick(body).records["price"].tolist() == [123456789_123456789]


def test_a_quote_may_lack_a_side() -> None:
    run = decode({**QUOTE, "ask_price": None})
    assert run.records["bid_px_00"].tolist() == [1_500_000_000]
    assert run.records["ask_px_00"].tolist() == [UNDEF_PRICE]


def test_a_bar_is_of_its_schema() -> None:
    run = decode(BAR)
    assert run.schema == "ohlcv-1m"
    assert [int(run.records[name][0]) for name in ("open", "high", "low", "close", "volume")] == [
        10**9, 2 * 10**9, 5 * 10**8, 125 * 10**7, 10,
    ]  # fmt: skip


@pytest.mark.parametrize("body", [TRADE, QUOTE, BAR])
def test_a_tick_survives_both_ways(body: dict[str, object]) -> None:
    run = decode(body)
    again = decode_json_tick(encode_json_tick(run))
    assert again.schema == run.schema
    assert again.records.tobytes() == run.records.tobytes()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({**TRADE, "price": "NaN"}, "$.price"),
        ({**TRADE, "price": "-Infinity"}, "$.price"),
        ({**TRADE, "price": -1}, "$.price"),
        ({**TRADE, "price": 0}, "$.price"),
        ({**TRADE, "price": "1.0000000001"}, "$.price"),
        ({**TRADE, "price": "1e-400"}, "$.price"),
        ({**TRADE, "price": "1e400"}, "$.price"),
        ({**TRADE, "price": "12345678901"}, "$.price"),
        ({**TRADE, "price": "1" + "0" * 30 + "e-30"}, "$.price"),
        ({**TRADE, "price": "ten"}, "$.price"),
        ({**TRADE, "price": None}, "$.price"),
        ({**TRADE, "size": -1}, "$.size"),
        ({**TRADE, "size": 1.5}, "$.size"),
        ({**TRADE, "size": 2**32}, "$.size"),
        ({**TRADE, "instrument_id": 0}, "$.instrument_id"),
        ({**TRADE, "ts_event": -1}, "$.ts_event"),
        ({**TRADE, "ts_event": 2**64}, "$.ts_event"),
        ({**TRADE, "side": "X"}, "$.side"),
        ({**QUOTE, "bid_price": "nan"}, "$.bid_price"),
        ({**BAR, "low": "-0.5"}, "$.low"),
    ],
)
def test_a_bad_value_is_named_by_its_path(body: dict[str, object], path: str) -> None:
    with pytest.raises(SchemaError) as caught:
        decode(body)
    assert path in str(caught.value)
    assert caught.value.field_path == path


def test_unknown_and_missing_fields_are_named() -> None:
    with pytest.raises(SchemaError, match="unknown field `prise`"):
        decode({**TRADE, "prise": 1})
    with pytest.raises(SchemaError, match="missing required field `size`"):
        decode({name: value for name, value in TRADE.items() if name != "size"})


def test_an_unknown_schema_is_an_unknown_version() -> None:
    with pytest.raises(UnknownVersion, match="'mbo' is unknown"):
        decode({**TRADE, "schema": "mbo"})


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"\xff", b"null", b'{"schema": 1}'])
def test_what_is_no_tick_is_a_schema_error(value: bytes) -> None:
    with pytest.raises(SchemaError, match="one-tick JSON"):
        decode_json_tick(value)


def test_only_one_tick_is_encoded() -> None:
    run = tick_builders.trades(instrument_id=[1, 2], ts_event=5, price=1, size=1)
    with pytest.raises(SchemaError, match="held 2"):
        encode_json_tick(run)
