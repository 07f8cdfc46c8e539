"""Our tick layouts are Databento's own, byte for byte, both ways."""

from __future__ import annotations

from typing import Any

import databento_dbn as dbn
import numpy as np
import pytest
import zstandard

from tests.shared_data import SHARED
from topics import tick_builders
from topics.envelope import DBN, Envelope
from topics.runs import TickRun
from topics.ticks import SCHEMAS, decode_ticks, encode_ticks
from topics.types import UNDEF_PRICE, UNDEF_TIMESTAMP
from topics.validity import CAUSES, invalid_causes, valid_rows

RECORD_TYPES = {
    "trades": dbn.TradeMsg,
    "mbp-1": dbn.MBP1Msg,
    "tbbo": dbn.MBP1Msg,
    "bbo-1s": dbn.BBOMsg,
    "bbo-1m": dbn.BBOMsg,
    "ohlcv-1s": dbn.OHLCVMsg,
    "ohlcv-1m": dbn.OHLCVMsg,
    "ohlcv-1h": dbn.OHLCVMsg,
    "ohlcv-1d": dbn.OHLCVMsg,
}
LEVEL = dbn.BidAskPair(bid_px=11, ask_px=12, bid_sz=13, ask_sz=14, bid_ct=15, ask_ct=16)
COMMON: dict[str, Any] = {"publisher_id": 1, "instrument_id": 2, "ts_event": 3}
TRADE = {**COMMON, "price": -4, "size": 5, "side": dbn.Side.BID, "ts_recv": 6, "flags": 128, "sequence": 9}


def databento_record(schema: str) -> Any:
    rtype = dbn.RType.from_schema(dbn.Schema(schema))
    if schema == "trades":
        return dbn.TradeMsg(**TRADE, action=dbn.Action.TRADE, depth=7, ts_in_delta=-8)
    if schema in ("mbp-1", "tbbo"):
        return dbn.MBP1Msg(**TRADE, action=dbn.Action.MODIFY, depth=7, ts_in_delta=-8, levels=LEVEL)
    if schema.startswith("bbo"):
        return dbn.BBOMsg(rtype, **TRADE, levels=LEVEL)
    return dbn.OHLCVMsg(rtype, **COMMON, open=4, high=5, low=-6, close=7, volume=2**63 + 8)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_layout_is_databentos(schema: str) -> None:
    theirs = np.dtype(RECORD_TYPES[schema]._dtypes)
    assert SCHEMAS[schema].dtype == theirs
    assert SCHEMAS[schema].rtype == dbn.RType.from_schema(dbn.Schema(schema)).value


@pytest.mark.parametrize("schema", SCHEMAS)
def test_their_record_reads_as_ours_field_by_field(schema: str) -> None:
    record = databento_record(schema)
    (row,) = decode_ticks(bytes(record), Envelope(schema, 1, DBN)).records
    assert (row["publisher_id"], row["instrument_id"], row["ts_event"]) == (1, 2, 3)
    if SCHEMAS[schema].is_bar:
        assert [int(row[name]) for name in ("open", "high", "low", "close", "volume")] == [
            4,
            5,
            -6,
            7,
            2**63 + 8,
        ]
        return
    assert [int(row[name]) for name in ("price", "size", "ts_recv", "flags", "sequence")] == [
        -4,
        5,
        6,
        128,
        9,
    ]
    assert row["side"] == b"B"
    if "action" in row.dtype.names:
        assert (row["action"], row["depth"], row["ts_in_delta"]) == (record.action.value.encode(), 7, -8)
    if "bid_px_00" in row.dtype.names:
        names = ("bid_px_00", "ask_px_00", "bid_sz_00", "ask_sz_00", "bid_ct_00", "ask_ct_00")
        assert [int(row[name]) for name in names] == [11, 12, 13, 14, 15, 16]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_our_bytes_are_read_by_databentos_decoder(schema: str) -> None:
    records = np.concatenate([np.frombuffer(bytes(databento_record(schema)), SCHEMAS[schema].dtype)] * 3)
    records["ts_event"] = [10, 11, 12]
    value = encode_ticks(TickRun(schema, records))
    decoder = dbn.DBNDecoder(has_metadata=False)
    decoder.write(value)
    decoded = decoder.decode()
    assert [type(record) for record in decoded] == [RECORD_TYPES[schema]] * 3
    assert [record.ts_event for record in decoded] == [10, 11, 12]
    assert b"".join(bytes(record) for record in decoded) == value


def test_builders_write_what_databento_writes() -> None:
    ours = tick_builders.trades(
        instrument_id=2, ts_event=3, price=4, size=5, side=b"B", ts_recv=6, sequence=9, publisher_id=1
    )
    theirs = dbn.TradeMsg(
        **{**TRADE, "price": 4, "flags": 0}, action=dbn.Action.TRADE, depth=0, ts_in_delta=0
    )
    assert encode_ticks(ours) == bytes(theirs)


def test_sentinels_are_databentos() -> None:
    assert (UNDEF_PRICE, UNDEF_TIMESTAMP) == (dbn.UNDEF_PRICE, dbn.UNDEF_TIMESTAMP)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the real data of ../shared/data is not here")
@pytest.mark.parametrize("schema", SCHEMAS)
def test_real_files_come_through(schema: str) -> None:
    raw = (SHARED / "native" / "dbn" / f"test_data.{schema}.dbn.zst").read_bytes()
    decoder = dbn.DBNDecoder(upgrade_policy=dbn.VersionUpgradePolicy.UPGRADE_TO_V3)
    decoder.write(zstandard.ZstdDecompressor().stream_reader(raw).read())
    records = [record for record in decoder.decode() if isinstance(record, RECORD_TYPES[schema])]
    run = decode_ticks(b"".join(bytes(record) for record in records), Envelope(schema, 1, DBN))
    assert len(records) > 0
    assert run.records["instrument_id"].tolist() == [record.instrument_id for record in records]
    assert run.records["ts_event"].tolist() == [record.ts_event for record in records]
    if schema.startswith("bbo"):
        # Databento leaves it undefined before the first trade; on our topics it is the time of the quote.
        run.records["ts_event"] = run.records["ts_recv"]
    # Their book is empty at first, and such a quote says nothing.
    causes = {CAUSES[code] for code in invalid_causes(run)}
    assert causes <= ({"valid", "no_quote"} if schema.startswith("bbo") else {"valid"})
    assert valid_rows(run)[-1]
