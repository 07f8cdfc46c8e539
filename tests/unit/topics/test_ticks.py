"""Runs of DBN records."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.topics.factories import make_trades
from topics.envelope import ARROW, DBN, JSON, MAX_MESSAGE_BYTES, Envelope
from topics.errors import EnvelopeError, MessageTooLarge, SchemaError, UnknownVersion
from topics.runs import TickRun
from topics.ticks import SCHEMAS, blank_records, decode_ticks, encode_ticks, heartbeat, is_heartbeat
from topics.types import HEARTBEAT_INSTRUMENT_ID, UNDEF_PRICE

TRADES = Envelope("trades", 1, DBN)


def test_records_are_the_bytes_of_the_message_and_come_back_writable() -> None:
    run = make_trades(4)
    value = encode_ticks(run)
    assert value == run.records.tobytes()
    decoded = decode_ticks(value, TRADES)
    assert decoded.schema == "trades"
    assert decoded.records.tobytes() == value
    assert decoded.records.flags.writeable


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_heartbeat_carries_a_time_and_no_price(schema: str) -> None:
    beat = decode_ticks(encode_ticks(heartbeat(schema, 77)), Envelope(schema, 1, DBN, count=1))
    (row,) = beat.records
    assert row["ts_event"] == 77
    assert row["instrument_id"] == HEARTBEAT_INSTRUMENT_ID
    prices = {"price", "bid_px_00", "ask_px_00", "open", "high", "low", "close"} & set(row.dtype.names)
    assert prices
    assert {int(row[name]) for name in prices} == {UNDEF_PRICE}
    assert is_heartbeat(beat.records).tolist() == [True]


@pytest.mark.parametrize("value", [b"", None, b"x", bytes(47), bytes(49)])
def test_bytes_that_are_no_whole_records_are_refused(value: bytes | None) -> None:
    with pytest.raises(SchemaError, match=r"empty|no multiple of the 48"):
        decode_ticks(value, TRADES)


@pytest.mark.parametrize(("field", "wrong"), [("length", 20), ("rtype", 1)])
def test_a_record_of_another_type_is_refused_by_row(field: str, wrong: int) -> None:
    run = make_trades(3)
    value = bytearray(encode_ticks(run))
    value[48 * 2 + {"length": 0, "rtype": 1}[field]] = wrong
    with pytest.raises(SchemaError, match=f"record 2: `{field}` \\(={wrong}\\)") as caught:
        decode_ticks(bytes(value), TRADES)
    assert caught.value.field_path == f"$[2].{field}"


def test_records_of_one_size_but_another_schema_are_refused() -> None:
    value = encode_ticks(heartbeat("bbo-1s", 1))
    with pytest.raises(SchemaError, match="`rtype`"):
        decode_ticks(value, Envelope("mbp-1", 1, DBN))


def test_envelope_and_value_must_agree() -> None:
    value = encode_ticks(make_trades(3))
    assert len(decode_ticks(value, replace(TRADES, count=3)).records) == 3
    with pytest.raises(EnvelopeError, match="`count` \\(=4\\) contradicts the 3 records"):
        decode_ticks(value, replace(TRADES, count=4))
    with pytest.raises(UnknownVersion, match="version 2"):
        decode_ticks(value, replace(TRADES, version=2))
    with pytest.raises(UnknownVersion, match="'mbo' is unknown"):
        decode_ticks(value, replace(TRADES, schema="mbo"))
    with pytest.raises(EnvelopeError, match="content-type"):
        decode_ticks(value, replace(TRADES, content_type=ARROW))


def test_a_json_body_must_not_contradict_its_header() -> None:
    body = b'{"schema":"trades","instrument_id":1,"ts_event":5,"price":"1","size":1}'
    assert len(decode_ticks(body, Envelope("trades", 1, JSON)).records) == 1
    with pytest.raises(EnvelopeError, match="contradicts"):
        decode_ticks(body, Envelope("mbp-1", 1, JSON))


def test_messages_are_bounded_both_ways() -> None:
    run = TickRun("trades", blank_records(SCHEMAS["trades"], MAX_MESSAGE_BYTES // 48 + 1))
    with pytest.raises(MessageTooLarge, match="cut the run"):
        encode_ticks(run)
    with pytest.raises(MessageTooLarge):
        decode_ticks(bytes(MAX_MESSAGE_BYTES + 48), TRADES)


def test_only_records_of_the_schema_are_encoded() -> None:
    with pytest.raises(SchemaError, match="dtype of schema 'mbp-1'"):
        encode_ticks(TickRun("mbp-1", make_trades().records))
    with pytest.raises(SchemaError, match="empty"):
        encode_ticks(TickRun("trades", make_trades(0).records))
    with pytest.raises(SchemaError, match="`length` \\(=0\\)"):
        encode_ticks(TickRun("trades", np.zeros(1, dtype=SCHEMAS["trades"].dtype)))
