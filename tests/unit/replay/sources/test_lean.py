"""LEAN's zip files and folders."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from replay.errors import CorruptFile, InvalidRow, MissingFile, SchemaMismatch, UnsortedRows
from replay.options import parse_time
from replay.sources.base import Selection
from replay.sources.open import open_source
from tests.unit.replay.factories import all_records, write_lean, write_zip
from topics.types import UNDEF_PRICE

MS = 1_000_000
MIDNIGHT = parse_time("2013-10-07T00:00-04:00")

TRADES = ("14400614,139400,500,P,20002020,0", "14404499,139500,600,P,2000,0")
QUOTES = (
    "14400151,0,0,140200,500,Q,1,0",
    "14400614,138400,700,0,0,P,1,0",
    "14404498,0,0,139600,300,P,1,0",
)


def day(folder: Path, trades=TRADES, quotes=QUOTES, *, symbol="bac", date="20131007") -> Path:
    if trades is not None:
        write_lean(folder, symbol, date, "trade", trades)
    if quotes is not None:
        write_lean(folder, symbol, date, "quote", quotes)
    return folder / "tick"


def test_trades_carry_new_york_ms_and_deci_cents(tmp_path: Path) -> None:
    (source,) = open_source(day(tmp_path, quotes=None))
    assert (source.schema, source.symbols, source.clock) == ("trades", ("BAC",), "ts_event")
    records = all_records(source)
    assert (records["ts_event"] - MIDNIGHT).tolist() == [14400614 * MS, 14404499 * MS]
    assert records["price"].tolist() == [13_940_000_000, 13_950_000_000]
    assert records["size"].tolist() == [500, 600]
    assert records["sequence"].tolist() == [1, 2]
    assert set(records["action"]) == {b"T"}


def test_one_sided_quotes_are_carried_and_a_trade_sees_the_quote_before_it(tmp_path: Path) -> None:
    (source,) = open_source(day(tmp_path))
    assert source.schema == "mbp-1"
    records = all_records(source)
    assert records["action"].tolist() == [b"M", b"T", b"M", b"M", b"T"]
    assert records["side"].tolist() == [b"A", b"N", b"B", b"A", b"N"]
    bid, ask = 13_840_000_000, 14_020_000_000
    # The second row is a trade in the ms of the first bid: it does not see it.
    assert records["bid_px_00"].tolist() == [UNDEF_PRICE, UNDEF_PRICE, bid, bid, bid]
    assert records["ask_px_00"].tolist() == [ask, ask, ask, 13_960_000_000, 13_960_000_000]
    assert records["bid_sz_00"].tolist() == [0, 0, 700, 700, 700]
    assert records["ask_sz_00"].tolist() == [500, 500, 500, 300, 300]
    assert records["price"].tolist() == [ask, 13_940_000_000, bid, 13_960_000_000, 13_950_000_000]


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 1000])
def test_chunks_do_not_change_the_records(tmp_path: Path, chunk_rows: int) -> None:
    quotes = [
        f"{14_400_000 + i // 3},{(i % 5) * 1000},{i % 5},{140_000 if i % 5 == 0 else 0},7,Q,1,0"
        for i in range(400)
    ]
    trades = [f"{14_400_000 + i // 2},139400,{i + 1},P,1,0" for i in range(200)]
    tick = day(tmp_path, trades, quotes)
    whole = all_records(open_source(tick)[0])
    assert len(whole) == 600
    # Blocks of CSV are at least a kB, so small chunks are some tens of rows.
    cut = all_records(open_source(tick, Selection(chunk_rows=chunk_rows))[0])
    assert cut.tobytes() == whole.tobytes()


def test_the_book_starts_anew_each_day(tmp_path: Path) -> None:
    day(tmp_path)
    tick = day(tmp_path, date="20131008")
    records = all_records(open_source(tick)[0])
    assert len(records) == 10
    assert records["bid_px_00"][5] == UNDEF_PRICE


def test_suspicious_and_zero_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    trades = [*TRADES, "14404500,139500,1,P,2000,1", "14404501,0,1,P,2000,0"]
    quotes = [*QUOTES, "14404502,0,0,0,0,P,1,0", "14404503,1,1,0,0,P,1,1"]
    (source,) = open_source(day(tmp_path, trades, quotes))
    assert len(all_records(source)) == 5
    assert source.tally.skipped == {"suspicious": 2, "zero_price": 1, "no_quote": 1}
    assert source.tally.rows == 9
    all_records(source)
    assert source.tally.rows == 9  # every pass counts anew


@pytest.mark.parametrize(
    ("line", "row", "column"),
    [
        ("14404500,-5,1,P,2000,0", 3, "price"),
        ("14404500,nan,1,P,2000,0", 3, "price"),
        ("14404500,x,1,P,2000,0", 3, "price"),
        ("14404500,139500,-1,P,2000,0", 3, "size"),
        ("14404500,139500,0.5,P,2000,0", 3, "size"),
        ("90000000,139500,1,P,2000,0", 3, "time"),
        ("14404500,139500,1,P", 3, "columns"),
    ],
)
def test_a_damaged_row_is_named(tmp_path: Path, line: str, row: int, column: str) -> None:
    (source,) = open_source(day(tmp_path, [*TRADES, line], None))
    with pytest.raises(InvalidRow, match=r"20131007_trade\.zip: row 3: ") as caught:
        all_records(source)
    assert (caught.value.row, caught.value.column) == (row, column)


def test_rows_out_of_order_are_sorted_in_a_small_file_and_named_in_a_large_one(tmp_path: Path) -> None:
    lines = [f"{14_400_000 + i},139400,{i + 1},P,1,0" for i in range(300)]
    lines[200], lines[210] = lines[210], lines[200]
    tick = day(tmp_path, lines, None)
    records = all_records(open_source(tick)[0])
    assert (np.diff(records["ts_event"].astype(np.int64)) > 0).all()
    with pytest.raises(UnsortedRows, match="row 202: `ts_event` is before the row above") as caught:
        all_records(open_source(tick, Selection(chunk_rows=1))[0])
    assert caught.value.row == 202


def test_clock_changes_within_a_day_keep_the_wall_time(tmp_path: Path) -> None:
    # 2013-11-03: New York goes from UTC-4 to UTC-5 at 02:00.
    lines = ["3600000,139400,1,P,1,0", "36000000,139400,1,P,1,0"]
    records = all_records(open_source(day(tmp_path, lines, None, date="20131103"))[0])
    assert records["ts_event"].tolist() == [
        parse_time("2013-11-03T01:00-04:00"),
        parse_time("2013-11-03T10:00-05:00"),
    ]


def test_a_symbols_folder_and_a_single_file_are_sources_too(tmp_path: Path) -> None:
    tick = day(tmp_path)
    day(tmp_path, symbol="aig")
    assert [source.symbols for source in open_source(tick)] == [("AIG",), ("BAC",)]
    assert [source.symbols for source in open_source(tick / "aig")] == [("AIG",)]
    (single,) = open_source(tick / "aig" / "20131007_trade.zip")
    assert len(all_records(single)) == 2


def test_unselected_days_and_symbols_are_not_opened(tmp_path: Path) -> None:
    tick = day(tmp_path)
    day(tmp_path, symbol="aig")
    for path in (tick / "bac" / "20131009_trade.zip", tick / "aig" / "20131007_trade.zip"):
        path.write_bytes(b"never looked at")
    selection = Selection(frozenset({"BAC"}), parse_time("2013-10-07"), parse_time("2013-10-08"))
    (source,) = open_source(tick, selection)
    assert (source.symbols, len(all_records(source))) == (("BAC",), 5)


def test_the_time_range_changes_neither_symbols_nor_schemas(tmp_path: Path) -> None:
    day(tmp_path, symbol="aig")
    tick = day(tmp_path, quotes=None, date="20131008")
    every = [(source.symbols, source.schema) for source in open_source(tick)]
    assert every == [(("AIG",), "mbp-1"), (("BAC",), "trades")]
    for start in ("2013-10-08T12:00", "2014-01-01"):
        later = open_source(tick, Selection(start_ns=parse_time(start)))
        assert [(source.symbols, source.schema) for source in later] == every
        assert len(all_records(later[0])) == 0


@pytest.mark.parametrize("keep", [0, 10, 100, -30])
def test_a_truncated_zip_is_refused_before_anything_is_read(tmp_path: Path, keep: int) -> None:
    tick = day(tmp_path)
    path = tick / "bac" / "20131007_trade.zip"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptFile, match=r"20131007_trade\.zip: .*(truncated|empty)"):
        open_source(tick)


def test_a_damaged_member_is_named_with_its_row(tmp_path: Path) -> None:
    lines = [f"{14_400_000 + i},{139_400 + i * 7 % 1000},{i + 1},P,1,0" for i in range(20_000)]
    tick = day(tmp_path, lines, None)
    path = tick / "bac" / "20131007_trade.zip"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    (source,) = open_source(tick, Selection(chunk_rows=100))
    with pytest.raises((CorruptFile, InvalidRow), match=r"20131007_trade\.zip"):
        all_records(source)


def test_another_zip_is_no_lean_file(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", "prices.csv", "1,2")
    with pytest.raises(SchemaMismatch, match=r"member 'prices\.csv' is not LEAN's"):
        open_source(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.csv", "1")
    with pytest.raises(SchemaMismatch, match="holds 2 members"):
        open_source(path)


def test_folders_above_the_resolutions_are_too_many(tmp_path: Path) -> None:
    day(tmp_path)
    write_zip(
        tmp_path / "second" / "spy" / "20131007_trade.zip", "20131007_spy_second_trade.csv", "1,1,1,1,1,1"
    )
    with pytest.raises(SchemaMismatch, match="resolutions second, tick; point at one"):
        open_source(tmp_path)


def test_second_bars_start_at_their_time(tmp_path: Path) -> None:
    text = "14400000,1659800,1660000,1659700,1659900,600\n14415000,1660000,1660000,1660000,1660000,0"
    write_zip(tmp_path / "second" / "spy" / "20131007_trade.zip", "20131007_spy_second_trade.csv", text)
    (source,) = open_source(tmp_path / "second")
    assert source.schema == "ohlcv-1s"
    (bar,) = all_records(source)
    assert bar["ts_event"] == MIDNIGHT + 14_400_000 * MS
    assert [int(bar[name]) for name in ("open", "high", "low", "close")] == [
        165_980_000_000,
        166_000_000_000,
        165_970_000_000,
        165_990_000_000,
    ]
    assert source.tally.skipped == {"no_volume": 1}


@pytest.mark.parametrize(
    ("resolution", "time"), [("daily", "2013-10-07"), ("hour", "2013-10-07T09:00-04:00")]
)
def test_hour_and_daily_files_hold_all_days(tmp_path: Path, resolution: str, time: str) -> None:
    text = "20131007 09:00,1659800,1660000,1659700,1659900,600\n20131008 09:00,1,1,1,1,1\n"
    if resolution == "daily":
        text = text.replace("09:00", "00:00")
    write_zip(tmp_path / resolution / "spy.zip", "spy.csv", text)
    (source,) = open_source(tmp_path / resolution)
    records = all_records(source)
    assert source.schema == {"daily": "ohlcv-1d", "hour": "ohlcv-1h"}[resolution]
    assert records["ts_event"][0] == parse_time(time)
    assert len(records) == 2


def test_a_wrong_time_in_a_daily_file_is_named(tmp_path: Path) -> None:
    write_zip(tmp_path / "daily" / "spy.zip", "spy.csv", "20131007 00:00,1,1,1,1,1\n2013-10-08,1,1,1,1,1\n")
    with pytest.raises(InvalidRow, match=r"row 2: `time` \(=2013-10-08\) must be like"):
        all_records(open_source(tmp_path / "daily")[0])


def test_quote_bars_alone_are_refused(tmp_path: Path) -> None:
    write_zip(tmp_path / "second" / "spy" / "20131007_quote.zip", "20131007_spy_second_quote.csv", "1")
    with pytest.raises(SchemaMismatch, match="only quote bars"):
        open_source(tmp_path / "second")


def test_an_empty_folder_is_missing_files(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no file that a reader knows"):
        open_source(tmp_path)
