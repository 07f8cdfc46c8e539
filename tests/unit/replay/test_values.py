"""Instruments, schemas, sessions, options and settings: the small values of a replay."""

from __future__ import annotations

import datetime as dt
import logging

import numpy as np
import pytest

from replay.config import ReplayConfig
from replay.errors import ConfigError, SchemaMismatch
from replay.instruments import instrument_table
from replay.options import new_run_id, parse_span, parse_symbols, parse_time
from replay.report import event_time_text
from replay.schemas import common_schema, promote
from replay.sessions import Session
from replay.sources.base import StreamSource
from replay.sources.relations import Relations
from tests.unit.replay.factories import trades
from topics.control import Related
from topics.errors import SchemaError
from topics.specs import replay_prefix
from topics.ticks import MBP1_DTYPE, SCHEMAS, TRADES_DTYPE, blank_records
from topics.types import UNDEF_PRICE


def source(*symbols: str, sectors: dict[str, str] | None = None) -> StreamSource:
    return StreamSource("x", "trades", "ts_event", symbols, lambda _: iter(()), sectors or {})


def test_ids_are_the_ranks_of_all_symbols_whatever_the_order_of_the_sources() -> None:
    first, second = source("B", "D"), source("A", "B", "C")
    table = instrument_table([first, second])
    assert table.symbols == ("A", "B", "C", "D")
    assert instrument_table([second, first]) == table
    assert table.ids_of(first).tolist() == [0, 2, 4]
    assert table.ids_of(second).tolist() == [0, 1, 2, 3]


def test_announcements_carry_what_is_known() -> None:
    table = instrument_table([source("A", "B", sectors={"B": "Tech"})])
    found = [(one.instrument_id, one.symbol, one.universe, one.sector) for one in table.announcements("u")]
    assert found == [(1, "A", "u", None), (2, "B", "u", "Tech")]


def test_a_file_of_sectors_takes_the_place_of_the_sources() -> None:
    sources = [source("A", "B", sectors={"A": "Tech"})]
    assert instrument_table(sources, Relations({"B": "Energy", "X": "Y"})).sectors == {"B": "Energy"}
    with pytest.raises(SchemaMismatch, match="knows none of the 2 symbols, for instance 'A'"):
        instrument_table(sources, Relations({"X": "Y"}))


def test_edges_lead_both_ways_between_the_symbols_at_hand(caplog: pytest.LogCaptureFixture) -> None:
    pairs = {
        "supply": (("B", "A", 0.5), ("A", "C", -0.75), ("A", "X", 1.0), ("A", "B", 0.25)),
        "owns": (("C", "B", 1.0), ("A", "B", 0.0)),
        "far": (("X", "Y", 1.0),),
    }
    sources = [source("A", "B", "C", sectors={"B": "Tech"})]
    with caplog.at_level(logging.WARNING):
        table = instrument_table(sources, Relations(None, pairs))
    assert [one.related for one in table.announcements("u")] == [
        (Related("supply", 3, -0.75), Related("supply", 2, 0.5)),
        (Related("owns", 3, 1.0), Related("supply", 1, 0.5)),
        (Related("owns", 2, 1.0), Related("supply", 1, -0.75)),
    ]
    assert table.sectors == {"B": "Tech"}  # the file says nothing about sectors
    assert "relation 'far': no pair of it is among the 3 symbols" in caplog.text
    with pytest.raises(SchemaMismatch, match="knows none of the 3 symbols"):
        instrument_table(sources, Relations(None, {"far": pairs["far"]}))


def test_a_hub_announces_its_strongest_edges_and_says_how_many_are_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    symbols = tuple("ABCDEFGHIJK")
    pairs = tuple(("A", symbol, 1.0 if symbol == "K" else 0.5) for symbol in symbols[1:])
    with caplog.at_level(logging.WARNING):
        table = instrument_table([source(*symbols)], Relations(None, {"supply": pairs}))
    assert [edge.instrument_id for edge in table.related[1]] == [11, 2, 3, 4, 5, 6, 7, 8]
    assert [edge.instrument_id for edge in table.related[10]] == [1]
    assert "relation 'supply': 2 edges are left out" in caplog.text


def test_sources_must_agree_on_a_sector() -> None:
    with pytest.raises(SchemaMismatch, match="A is in sector 'Energy', elsewhere in 'Tech'"):
        instrument_table([source("A", sectors={"A": "Tech"}), source("A", sectors={"A": "Energy"})])


@pytest.mark.parametrize(
    ("schemas", "common"),
    [
        (["trades", "trades"], "trades"),
        (["trades", "mbp-1"], "mbp-1"),
        (["tbbo"], "tbbo"),
        (["tbbo", "trades"], "mbp-1"),
        (["ohlcv-1m", "ohlcv-1m"], "ohlcv-1m"),
    ],
)
def test_trades_and_quotes_share_a_schema(schemas: list[str], common: str) -> None:
    assert common_schema([("x", name) for name in schemas]) == common


def test_bars_and_ticks_do_not() -> None:
    with pytest.raises(SchemaMismatch, match=r"ohlcv-1m in b; trades in a: .* one by one"):
        common_schema([("a", "trades"), ("b", "ohlcv-1m")])
    with pytest.raises(SchemaMismatch, match="cannot become trades"):
        promote(blank_records(SCHEMAS["mbp-1"], 1), "trades")


def test_a_promoted_trade_keeps_its_fields_and_has_no_quote() -> None:
    records = trades(range(3))
    wide = promote(records, "mbp-1")
    assert wide.dtype == MBP1_DTYPE
    for name in set(TRADES_DTYPE.names or ()) - {"length", "rtype"}:
        assert wide[name].tolist() == records[name].tolist()
    assert set(wide["length"]) == {20}
    assert set(wide["rtype"]) == {1}
    assert set(wide["bid_px_00"]) == set(wide["ask_px_00"]) == {UNDEF_PRICE}


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (
            "RTH",
            ["2013-10-07T09:30-04:00", "2013-10-07T15:59:59.999999-04:00", "2013-12-02T09:30-05:00"],
            ["2013-10-07T09:29:59.999999-04:00", "2013-10-07T16:00-04:00", "2013-12-02T09:30-04:00"],
        ),
        (
            "18:00-23:00@Asia/Tokyo",
            ["2013-10-07T18:00+09:00", "2013-10-08T22:59+09:00"],
            ["2013-10-07T17:59+09:00", "2013-10-07T23:00+09:00"],
        ),
    ],
)
def test_a_session_is_half_open_in_wall_time(text: str, inside: list[str], outside: list[str]) -> None:
    session = Session.parse(text)
    for texts, expected in ((inside, True), (outside, False)):
        times = np.array([parse_time(one) for one in texts], dtype=np.uint64)
        assert set(session.contains(times).tolist()) == {expected}
    assert session.contains(np.zeros(0, dtype=np.uint64)).tolist() == []


@pytest.mark.parametrize(
    "text",
    ["", "9:30-16:00@UTC", "09:30-16:00", "09:30-16:00@Mars/Olympus", "16:00-09:30@UTC", "09:61-16:00@UTC"],
)
def test_other_sessions_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="session"):
        Session.parse(text)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2013-10-07", 1_381_104_000_000_000_000),
        ("2013-10-07T00:00:00.000001", 1_381_104_000_000_001_000),
        ("2013-10-07T02:00+02:00", 1_381_104_000_000_000_000),
        ("1381104000000000001", 1_381_104_000_000_000_001),
        ("20131007", 1_381_104_000_000_000_000),
    ],
)
def test_times_are_read(text: str, ns: int) -> None:
    assert parse_time(text) == ns


@pytest.mark.parametrize("text", ["", "yesterday", "2013-13-01", "1381104000000000000.5"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="a time"):
        parse_time(text)


def test_symbols_are_split_at_commas() -> None:
    assert parse_symbols("A, B,,BRK.B ") == {"A", "B", "BRK.B"}
    with pytest.raises(ConfigError, match="symbols"):
        parse_symbols(" , ")


def test_run_ids_name_topics() -> None:
    moment = dt.datetime(2024, 1, 31, 23, 59, 58, 123_456)
    assert new_run_id(moment) == "20240131-235958-123"
    assert replay_prefix(new_run_id(moment)) == "replay.20240131-235958-123."
    with pytest.raises(SchemaError, match="`run_id`"):
        replay_prefix("a.b")


def test_spans_are_read_and_others_named() -> None:
    assert parse_span("--step", "250ms") == 250_000_000
    with pytest.raises(ConfigError, match="--step: a duration"):
        parse_span("--step", "soon")


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"limit": 0}, "`limit`"),
        ({"partitions": 0}, "`partitions`"),
        ({"speed": -1.0}, "`speed`"),
        ({"speed": float("nan")}, "`speed`"),
        ({"start_ns": 5, "end_ns": 5}, "the start"),
        ({"symbols": frozenset()}, "`symbols`"),
        ({"max_gap_s": 1.0}, "needs a pace"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, object], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        ReplayConfig(run_id="r", **options)


def test_event_times_are_shown_to_the_second() -> None:
    assert event_time_text(1_381_152_600_999_999_999) == "2013-10-07 13:30:00"
