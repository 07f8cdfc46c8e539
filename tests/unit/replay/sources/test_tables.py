"""Trades, quotes, bars and panels of Parquet, Arrow and CSV files."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from replay.errors import CorruptFile, InvalidRow, SchemaMismatch, UnsortedRows
from replay.options import parse_time
from replay.sources.base import Selection
from replay.sources.open import open_source
from tests.unit.replay.factories import T0, all_records
from topics.types import NANOS_PER_DAY, NANOS_PER_SECOND, UNDEF_PRICE

FORMATS = ("parquet", "arrow", "csv")


def write(frame: pl.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.write_parquet(path, row_group_size=50)
    elif path.suffix == ".arrow":
        frame.write_ipc(path)
    else:
        frame.write_csv(path)
    return path


def trade_frame(n: int = 3) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ts_event": [T0 + i for i in range(n)],
            "symbol": ["MSFT" if i % 2 else "AAPL" for i in range(n)],
            "price": [100.0 + i / 100 for i in range(n)],
            "size": [i + 1 for i in range(n)],
        }
    )


def bar_frame(**columns) -> pl.DataFrame:
    base = {
        "ts_event": [T0, T0 + 60 * NANOS_PER_SECOND],
        "symbol": ["A", "A"],
        "open": [10.0, 10.5],
        "high": [11.0, 10.5],
        "low": [9.0, 10.5],
        "close": [10.5, 10.5],
        "volume": [100, 7],
    }
    return pl.DataFrame(base | columns)


def panel_frame(**columns) -> pl.DataFrame:
    frame = bar_frame().drop("ts_event")
    return frame.with_columns(date=pl.Series([dt.date(2013, 10, 7), dt.date(2013, 10, 8)])).with_columns(
        **{name: pl.Series(values) for name, values in columns.items()}
    )


@pytest.mark.parametrize("suffix", FORMATS)
def test_trades_of_every_format_are_the_same_records(tmp_path: Path, suffix: str) -> None:
    frame = trade_frame(200).with_columns(side=pl.Series(["B", "sell", None, "N"] * 50), extra=pl.lit("x"))
    (source,) = open_source(write(frame, tmp_path / f"x.{suffix}"), Selection(chunk_rows=64))
    assert (source.schema, source.symbols) == ("trades", ("AAPL", "MSFT"))
    records = all_records(source)
    assert records["ts_event"].tolist() == frame["ts_event"].to_list()
    assert records["ts_recv"].tolist() == frame["ts_event"].to_list()
    assert records["price"].tolist() == [100_000_000_000 + i * 10_000_000 for i in range(200)]
    assert records["size"].tolist() == frame["size"].to_list()
    assert records["instrument_id"].tolist() == [1, 2] * 100
    assert records["side"].tolist() == [b"B", b"A", b"N", b"N"] * 50
    assert source.tally.rows == 200


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_times_may_be_timestamps(tmp_path: Path, suffix: str, zone: str | None) -> None:
    frame = trade_frame(2)
    moments = pl.from_epoch(frame["ts_event"], time_unit="ns").dt.replace_time_zone("UTC")
    moments = moments.dt.replace_time_zone(None) if zone is None else moments.dt.convert_time_zone(zone)
    path = write(frame.with_columns(ts_event=moments), tmp_path / f"x.{suffix}")
    assert all_records(open_source(path)[0])["ts_event"].tolist() == [T0, T0 + 1]


def test_quotes_and_trades_of_one_file_are_mbp1(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "ts_event": [T0, T0 + 1, T0 + 2],
            "symbol": ["A"] * 3,
            "bid_px_00": [10.0, 10.0, None],
            "ask_px_00": [10.1, 0.0, 10.2],
            "bid_sz_00": [5, 6, None],
            "ask_sz_00": [7, 8, 9],
            "price": [None, 10.05, None],
            "size": [None, 3, None],
        }
    )
    (source,) = open_source(write(frame, tmp_path / "x.parquet"))
    records = all_records(source)
    assert source.schema == "mbp-1"
    assert records["action"].tolist() == [b"M", b"T", b"M"]
    assert records["bid_px_00"].tolist() == [10_000_000_000, 10_000_000_000, UNDEF_PRICE]
    assert records["ask_px_00"].tolist() == [10_100_000_000, UNDEF_PRICE, 10_200_000_000]
    assert records["price"].tolist() == [UNDEF_PRICE, 10_050_000_000, UNDEF_PRICE]
    assert records["bid_sz_00"].tolist() == [5, 6, 0]


def test_the_action_says_what_a_priced_row_is(tmp_path: Path) -> None:
    frame = trade_frame(3).with_columns(
        bid_price=pl.lit(1.0), ask_price=pl.lit(2.0), action=pl.Series(["A", "T", None])
    )
    assert all_records(open_source(write(frame, tmp_path / "x.csv"))[0])["action"].tolist() == [
        b"M",
        b"T",
        b"M",
    ]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("price", -1.0, "must not be negative"),
        ("price", float("nan"), "must be a price"),
        ("price", None, "must be a price"),
        ("price", float("inf"), "must be at most"),
        ("price", 1e10, "must be at most"),
        ("size", -1, "must be in 0"),
        ("size", 2**32, "must be in 0"),
        ("ts_event", 1_381_152_600_000, "must be ns since the UNIX epoch"),
        ("symbol", None, "must name an instrument"),
    ],
)
def test_a_damaged_value_is_named_by_its_row(
    tmp_path: Path, suffix: str, column: str, value, rule: str
) -> None:
    frame = trade_frame(300)
    values = frame[column].to_list()
    values[250] = value
    path = write(frame.with_columns(pl.Series(column, values)), tmp_path / f"x.{suffix}")
    with pytest.raises(InvalidRow, match=rf"x\.{suffix}: row 251: `{column}` .*{rule}") as caught:
        all_records(open_source(path, Selection(chunk_rows=64))[0])
    assert (caught.value.row, caught.value.column) == (251, column)


def test_a_csv_value_that_does_not_parse_is_named(tmp_path: Path) -> None:
    path = write(trade_frame(), tmp_path / "x.csv")
    path.write_text(path.read_text().replace("100.02", "12,5"))
    with pytest.raises(InvalidRow, match=r"row 3: `columns` .*must be 4 in number"):
        all_records(open_source(path)[0])
    path.write_text(path.read_text().replace("12,5", "abc"))
    with pytest.raises(InvalidRow, match=r"row 3: `price` \(='abc'\) must be of type double"):
        all_records(open_source(path)[0])


def test_sizes_must_be_whole(tmp_path: Path) -> None:
    frame = trade_frame().with_columns(size=pl.Series([1.0, 2.0, 0.5]))
    with pytest.raises(InvalidRow, match=r"row 3: `size` \(=0\.5\) must be a whole number"):
        all_records(open_source(write(frame, tmp_path / "x.parquet"))[0])


def test_zero_prices_are_left_out_and_counted(tmp_path: Path) -> None:
    frame = trade_frame().with_columns(price=pl.Series([0.0, 1.0, 0.0]))
    (source,) = open_source(write(frame, tmp_path / "x.parquet"))
    assert all_records(source)["size"].tolist() == [2]
    assert (source.tally.rows, source.tally.skipped) == (3, {"zero_price": 2})


def test_selected_symbols_only_and_the_damage_of_others_is_not_looked_at(tmp_path: Path) -> None:
    frame = trade_frame(6).with_columns(price=pl.Series([1.0, float("nan"), 1.0, 1.0, -1.0, 1.0]))
    path = write(frame, tmp_path / "x.parquet")
    with pytest.raises(InvalidRow, match="row 2: "):
        all_records(open_source(path, Selection(frozenset({"MSFT"})))[0])
    with pytest.raises(InvalidRow, match="row 5: "):
        all_records(open_source(path, Selection(frozenset({"AAPL"})))[0])


def test_rows_out_of_order_are_sorted_stably_in_one_chunk_and_named_in_several(tmp_path: Path) -> None:
    frame = trade_frame(100).with_columns(ts_event=pl.Series([T0 + 5] * 60 + [T0 + 1] * 40))
    path = write(frame, tmp_path / "x.parquet")
    records = all_records(open_source(path)[0])
    assert records["size"].tolist() == [*range(61, 101), *range(1, 61)]
    with pytest.raises(UnsortedRows, match=r"row 61: .*; sort the file by `ts_event` first"):
        all_records(open_source(path, Selection(chunk_rows=20))[0])


@pytest.mark.parametrize(
    ("columns", "hint"),
    [
        ({"ts_event": [T0], "symbol": ["A"], "px": [1.0]}, "columns ts_event, symbol, px make no ticks"),
        ({"ts_event": [T0], "price": [1.0], "size": [1]}, "trades need ts_event, symbol, price, size"),
        ({"symbol_a": ["A"], "symbol_b": ["B"], "relation": ["sector"]}, "make no ticks"),
    ],
)
def test_wrong_columns_are_told_with_the_right_ones(tmp_path: Path, columns, hint: str) -> None:
    with pytest.raises(SchemaMismatch, match=hint):
        open_source(write(pl.DataFrame(columns), tmp_path / "x.parquet"))


def test_a_column_under_two_names_is_refused(tmp_path: Path) -> None:
    frame = trade_frame().with_columns(Price=pl.lit(1.0))
    with pytest.raises(SchemaMismatch, match="'price' and 'Price' are both `price`"):
        open_source(write(frame, tmp_path / "x.parquet"))


def test_integer_prices_have_no_unit(tmp_path: Path) -> None:
    frame = trade_frame().with_columns(price=pl.Series([1, 2, 3]))
    with pytest.raises(SchemaMismatch, match="`price` holds integers, whose unit nobody can tell"):
        all_records(open_source(write(frame, tmp_path / "x.parquet"))[0])


def test_an_unknown_side_is_named(tmp_path: Path) -> None:
    frame = trade_frame().with_columns(side=pl.Series(["B", "up", "A"]))
    with pytest.raises(InvalidRow, match=r"row 2: `side` \(=up\) must be B"):
        all_records(open_source(write(frame, tmp_path / "x.csv"))[0])


def test_bars_take_their_length_from_the_type_or_the_times(tmp_path: Path) -> None:
    typed = bar_frame(type=["bar_1s", "bar_1s"])
    assert open_source(write(typed, tmp_path / "a.parquet"))[0].schema == "ohlcv-1s"
    assert open_source(write(bar_frame(), tmp_path / "b.parquet"))[0].schema == "ohlcv-1m"
    with pytest.raises(SchemaMismatch, match="column `type` holds bar_7m"):
        open_source(write(bar_frame(type=["bar_7m", "bar_7m"]), tmp_path / "c.parquet"))
    with pytest.raises(SchemaMismatch, match="must be whole seconds"):
        open_source(write(bar_frame(ts_event=[T0 + 1, T0 + 2]), tmp_path / "d.parquet"))


def test_bars_are_widened_to_their_open_and_close_and_silent_ones_left_out(tmp_path: Path) -> None:
    frame = bar_frame(high=[10.2, 10.5], low=[10.4, 10.5], volume=[5, 0])
    (source,) = open_source(write(frame, tmp_path / "x.parquet"))
    (bar,) = all_records(source)
    assert (bar["low"], bar["high"], bar["volume"]) == (10_000_000_000, 10_500_000_000, 5)
    assert source.tally.corrected == {"range_widened": 1}
    assert source.tally.skipped == {"no_volume": 1}


@pytest.mark.parametrize("suffix", FORMATS)
def test_panels_are_sorted_by_day_and_adjusted_with_their_notional_kept(tmp_path: Path, suffix: str) -> None:
    frame = pl.concat([panel_frame(adjusted_close=[5.25, 10.5]), panel_frame(adjusted_close=[10.5, 10.5])])
    frame = frame.with_columns(symbol=pl.Series(["A", "A", "B", "B"]))
    (source,) = open_source(write(frame, tmp_path / f"x.{suffix}"))
    records = all_records(source)
    assert source.schema == "ohlcv-1d"
    day = parse_time("2013-10-07")
    assert records["ts_event"].tolist() == [day, day, day + NANOS_PER_DAY, day + NANOS_PER_DAY]
    assert records["instrument_id"].tolist() == [1, 2, 1, 2]
    adjusted, raw = records[0], records[1]
    assert [int(adjusted[name]) for name in ("open", "high", "low", "close", "volume")] == [
        5_000_000_000,
        5_500_000_000,
        4_500_000_000,
        5_250_000_000,
        200,
    ]
    assert int(adjusted["close"]) * int(adjusted["volume"]) == int(raw["close"]) * int(raw["volume"])


def test_adjusting_never_puts_a_close_outside_its_range(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    close = rng.uniform(1, 500, 5000)
    start = dt.date(2000, 1, 1)
    frame = pl.DataFrame(
        {
            "date": [start + dt.timedelta(days=i) for i in range(5000)],
            "symbol": ["A"] * 5000,
            **dict.fromkeys(("open", "high", "low", "close"), close),
            "adjusted_close": close * rng.uniform(0.01, 3, 5000),
            "volume": [100] * 5000,
        }
    )
    (source,) = open_source(write(frame, tmp_path / "x.parquet"))
    assert len(all_records(source)) == 5000
    assert source.tally.corrected == {}


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_panel_of_closes_alone_has_flat_bars_of_one_unit(tmp_path: Path, suffix: str) -> None:
    frame = panel_frame(close=[10.5, 11.0], adjusted_close=[0.0105, 11.0])
    frame = frame.drop("open", "high", "low", "volume")
    (source,) = open_source(write(frame, tmp_path / f"x.{suffix}"))
    records = all_records(source)
    for name in ("open", "high", "low", "close"):
        assert records[name].tolist() == [10_500_000, 11_000_000_000]
    assert records["volume"].tolist() == [1, 1]
    assert source.tally.corrected == {"volume_unknown": 2}


def test_an_open_of_zero_on_a_traded_day_is_taken_from_the_close(tmp_path: Path) -> None:
    frame = panel_frame(open=[0.0, 10.5], low=[0.0, 10.5], high=[0.0, 10.5])
    (source,) = open_source(write(frame, tmp_path / "x.parquet"))
    records = all_records(source)
    assert (
        records["open"].tolist()
        == records["high"].tolist()
        == records["low"].tolist()
        == [10_500_000_000] * 2
    )
    assert source.tally.corrected == {"price_filled_from_close": 1}
    silent = panel_frame(open=[0.0, 10.5], volume=[0, 7])
    assert len(all_records(open_source(write(silent, tmp_path / "y.parquet"))[0])) == 1


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("selected", [None, frozenset({"A"})])
def test_rows_of_empty_cells_and_days_without_a_volume_are_no_days(
    tmp_path: Path, suffix: str, selected: frozenset[str] | None
) -> None:
    numbers = ("open", "high", "low", "close", "volume")
    frame = panel_frame(**{name: [None, 1.0] for name in numbers})
    more = panel_frame(volume=[None, 5.0]).with_columns(symbol=pl.lit("B")).select(frame.columns)
    frame = pl.concat([frame, more], how="vertical_relaxed")
    selection = Selection(symbols=selected)
    (source,) = open_source(write(frame, tmp_path / f"x.{suffix}"), selection)
    records = all_records(source)
    expected = {"empty_row": 1} | ({} if selected else {"no_volume": 1})
    assert source.tally.skipped == expected
    assert source.tally.rows == len(records) + sum(expected.values())
    assert records["close"].tolist() == [1_000_000_000] + ([] if selected else [10_500_000_000])


def test_a_damaged_row_behind_empty_ones_is_named_by_its_own_number(tmp_path: Path) -> None:
    numbers = ("open", "high", "low", "close", "volume")
    frame = panel_frame(**{name: [None, 1.0] for name in numbers}).with_columns(
        high=pl.Series([None, float("nan")])
    )
    with pytest.raises(InvalidRow, match="row 2: `high`"):
        all_records(open_source(write(frame, tmp_path / "x.parquet"))[0])


def test_a_reverse_split_leaves_no_traded_day_without_a_volume(tmp_path: Path) -> None:
    frame = panel_frame(adjusted_close=[10_500.0, 10.5])
    records = all_records(open_source(write(frame, tmp_path / "x.parquet"))[0])
    assert records["volume"].tolist() == [1, 7]


@pytest.mark.parametrize("name", ["Adj Close", "adj_close", "AdjClose"])
def test_yahoos_names_of_an_adjusted_close_are_known(tmp_path: Path, name: str) -> None:
    frame = panel_frame(adjusted_close=[5.25, 10.5]).rename({"adjusted_close": name})
    records = all_records(open_source(write(frame, tmp_path / "x.csv"))[0])
    assert records["close"].tolist() == [5_250_000_000, 10_500_000_000]


def test_a_table_of_one_column_an_instrument_is_told_what_is_needed(tmp_path: Path) -> None:
    wide = pl.DataFrame({"date": [dt.date(2013, 10, 7)], **{f"S{i:03d}": [1.0] for i in range(500)}})
    with pytest.raises(SchemaMismatch, match="not one column an instrument") as caught:
        open_source(write(wide, tmp_path / "x.parquet"))
    assert "S010 and 489 more make no ticks" in str(caught.value)


@pytest.mark.parametrize("dates", [[20131007, 20131008], ["2013-10-07", "2013-10-08"]])
def test_dates_may_be_compact_or_text(tmp_path: Path, dates: list[object]) -> None:
    records = all_records(open_source(write(panel_frame(date=dates), tmp_path / "x.csv"))[0])
    assert records["ts_event"].tolist() == [parse_time("2013-10-07"), parse_time("2013-10-08")]


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"date": [20131007, 20131345]}, r"row 2: `date` \(=20131345\) must be a date"),
        ({"date": [dt.date(2013, 10, 7)] * 2}, "row 2: `symbol` .*has this date already"),
        ({"close": [1.0, float("nan")]}, "row 2: `close` .*must be a price"),
        ({"low": [-1.0, 1.0]}, "row 1: `low` .*must not be negative"),
        ({"adjusted_close": [1.0, 0.0]}, "row 2: `adjusted_close` .*above zero"),
        ({"volume": [1, -1]}, "row 2: `volume` .*must be in 0"),
    ],
)
def test_damaged_rows_of_a_panel_are_named(tmp_path: Path, columns, error: str) -> None:
    with pytest.raises(InvalidRow, match=error):
        all_records(open_source(write(panel_frame(**columns), tmp_path / "x.parquet"))[0])


def test_dates_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch, match="`date` must hold dates"):
        all_records(open_source(write(panel_frame(date=[1.5, 2.5]), tmp_path / "x.parquet"))[0])


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize("keep", [5, 300])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str, keep: int) -> None:
    path = write(trade_frame(1000), tmp_path / f"x.{suffix}")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptFile, match=rf"x\.{suffix}: no {suffix} table"):
        open_source(path)


def test_a_csv_that_ends_within_a_row_is_refused(tmp_path: Path) -> None:
    path = write(trade_frame(1000), tmp_path / "x.csv")
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(InvalidRow, match=r"x\.csv: row 1000: `columns` \(=3\) must be 4 in number"):
        open_source(path)


def test_a_compressed_csv_is_read(tmp_path: Path) -> None:
    path = write(trade_frame(), tmp_path / "x.csv")
    with pa.output_stream(str(tmp_path / "y.csv.gz"), compression="gzip") as stream:
        stream.write(path.read_bytes())
    assert len(all_records(open_source(tmp_path / "y.csv.gz")[0])) == 3
