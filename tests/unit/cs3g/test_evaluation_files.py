"""Panels and score files as arrays, and what is refused of them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from cs3g.evaluation_files import panel_groups, read_panel, read_scores, read_table
from cs3g_model.evaluation.calendar import DAY_NS
from replay.errors import CorruptFile, EmptyReplay, InvalidRow, MissingFile, SchemaMismatch

MINUTE_NS = 60_000_000_000
OPEN_NS = 18_000 * DAY_NS + 14 * 3600 * 1_000_000_000
DAYS = [date(2020, 1, 2), date(2020, 1, 3), date(2020, 1, 6)]


def panel_frame() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "date": [DAYS[0], DAYS[0], DAYS[1], DAYS[1], DAYS[2], DAYS[2]],
            "symbol": ["B", "A", "A", "B", "A", "B"],
            "open": [1.0] * 6,
            "close": [20.0, 10.0, 11.0, 21.0, 12.0, 22.0],
            "volume": [5, 5, 0, 5, 5, 5],
        }
    )


def minute_frame() -> pl.DataFrame:
    starts = [OPEN_NS + MINUTE_NS * t for t in (0, 1, 3)]
    return pl.DataFrame(
        {"ts_event": starts, "symbol": ["A"] * 3, "close": [10.0, 11.0, 12.0], "volume": [1, 1, 1]}
    )


def written(frame: pl.DataFrame, path: Path) -> Path:
    frame.write_csv(path) if path.suffix == ".csv" else frame.write_parquet(path)
    return path


@pytest.mark.parametrize("name", ["panel.parquet", "panel.csv"])
def test_a_panel_is_laid_out_by_day_and_symbol(tmp_path: Path, name: str) -> None:
    panel = read_panel(str(written(panel_frame(), tmp_path / name)))
    assert panel.symbols == ("A", "B")
    assert panel.starts_ns.astype("datetime64[ns]").astype("datetime64[D]").tolist() == DAYS
    # A did not trade on the second day.
    np.testing.assert_array_equal(panel.prices, [[10, 20], [np.nan, 21], [12, 22]])


def test_without_a_column_of_volumes_every_price_counts(tmp_path: Path) -> None:
    panel = read_table(written(panel_frame().drop("volume", "open"), tmp_path / "panel.parquet"))
    np.testing.assert_array_equal(panel.prices, [[10, 20], [11, 21], [12, 22]])


def test_yahoos_name_of_an_adjusted_close_is_known(tmp_path: Path) -> None:
    frame = panel_frame().with_columns(pl.lit(5.0).alias("Adj Close"))
    panel = read_table(written(frame, tmp_path / "panel.parquet"))
    assert panel.prices[0].tolist() == [5.0, 5.0]
    twice = frame.with_columns(adjusted_close=pl.lit(5.0))
    with pytest.raises(SchemaMismatch, match="a column is there twice"):
        read_table(written(twice, tmp_path / "twice.parquet"))


def test_adjusted_closes_are_the_protocols_product(tmp_path: Path) -> None:
    close, adjusted = np.float32(41.87), np.float32(27.978384)
    frame = panel_frame().with_columns(
        close=pl.lit(close, dtype=pl.Float32), adjusted_close=pl.lit(adjusted, dtype=pl.Float32)
    )
    panel = read_table(written(frame, tmp_path / "panel.parquet"))
    assert panel.prices[0, 0] == float(close) * (float(adjusted) / float(close))


@pytest.mark.parametrize("price", [0.0, -3.0, float("nan"), float("inf"), None])
def test_a_row_without_a_price_is_no_row(tmp_path: Path, price: float | None) -> None:
    frame = panel_frame().with_columns(
        close=pl.when(pl.col("close") == 20).then(pl.lit(price, dtype=pl.Float64)).otherwise(pl.col("close"))
    )
    panel = read_table(written(frame, tmp_path / "panel.parquet"))
    assert np.isnan(panel.prices[0, 1])
    assert panel.prices[0, 0] == 10


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("date", ["2020-01-02", "2020-01-03"]),
        pl.Series("date", [20200102, 20200103]),
        pl.Series("date", ["20200102", "20200103"]),
        pl.Series("date", [datetime(2020, 1, 2, 16), datetime(2020, 1, 3, 16)]),
    ],
    ids=["text", "number", "compact", "time"],
)
def test_dates_come_in_many_forms(tmp_path: Path, column: pl.Series) -> None:
    panel = read_table(written(panel_frame(), tmp_path / "panel.parquet"))
    frame = pl.DataFrame({"date": column, "symbol": ["A", "B"], "score": [1.0, 2.0]})
    scores = read_scores(written(frame, tmp_path / "scores.parquet"), panel).scores
    np.testing.assert_array_equal(scores, [[1, np.nan], [np.nan, 2], [np.nan, np.nan]])


def test_a_window_is_found_by_its_end(tmp_path: Path) -> None:
    panel = read_table(written(minute_frame(), tmp_path / "panel.parquet"))
    closes = [OPEN_NS + MINUTE_NS, OPEN_NS + 2 * MINUTE_NS, OPEN_NS + 3 * MINUTE_NS, OPEN_NS + 4 * MINUTE_NS]
    frame = pl.DataFrame({"ts_close": closes, "symbol": ["A"] * 4, "score": [1.0, 2.0, 9.0, 3.0]})
    found = read_scores(written(frame, tmp_path / "scores.parquet"), panel)
    # The third minute had no bar, so the score that ends it belongs to nothing.
    assert found.scores[:, 0].tolist() == [1, 2, 3]
    assert (found.rows, found.outside) == (4, 1)


def test_daily_windows_end_at_the_next_midnight(tmp_path: Path) -> None:
    panel = read_table(written(panel_frame(), tmp_path / "panel.parquet"))
    closes = [
        int((datetime(2020, 1, 2) + timedelta(days=t) - datetime(1970, 1, 1)).total_seconds())
        for t in (1, 2, 5)
    ]
    frame = pl.DataFrame(
        {"ts_close": [c * 1_000_000_000 for c in closes], "symbol": ["A"] * 3, "score": [1.0, 2.0, 3.0]}
    )
    assert read_scores(written(frame, tmp_path / "s.parquet"), panel).scores[:, 0].tolist() == [1, 2, 3]


def test_what_is_not_finite_or_elsewhere_is_counted(tmp_path: Path) -> None:
    panel = read_table(written(panel_frame(), tmp_path / "panel.parquet"))
    frame = pl.DataFrame(
        {
            "date": [DAYS[0], DAYS[0], DAYS[1], date(2030, 1, 1), DAYS[2]],
            "symbol": ["A", "B", "A", "A", "Z"],
            "score": [1.0, float("nan"), None, 4.0, 5.0],
        }
    )
    found = read_scores(written(frame, tmp_path / "s.parquet"), panel)
    assert (found.rows, found.outside, found.missing) == (5, 2, 2)
    assert np.isfinite(found.scores).sum() == 1


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"drop": "symbol"}, SchemaMismatch, "no column symbol"),
        ({"drop": "date"}, SchemaMismatch, "no column date or ts_event"),
        ({"drop": "close"}, SchemaMismatch, "no column close"),
        ({"close": pl.lit("dear")}, SchemaMismatch, "`close` must hold numbers"),
        ({"date": pl.lit("soon")}, SchemaMismatch, "`date` must hold dates"),
        ({"symbol": pl.lit("A")}, InvalidRow, r"row 2: `symbol` \(=A\) has this date already"),
        ({"symbol": pl.lit(None, dtype=pl.String)}, InvalidRow, "`symbol` .* must not be empty"),
        ({"volume": pl.lit(0)}, EmptyReplay, "panel.parquet: none of 6 rows"),
        ({"close": pl.lit(float("nan"))}, EmptyReplay, "none of 6 rows"),
    ],
)
def test_a_bad_panel_is_refused(
    tmp_path: Path, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    frame = panel_frame()
    frame = frame.drop(change["drop"]) if "drop" in change else frame.with_columns(**change)
    with pytest.raises(error, match=words):
        read_table(written(frame, tmp_path / "panel.parquet"))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"drop": "score"}, SchemaMismatch, "no column score"),
        ({"drop": "date"}, SchemaMismatch, "no column date or ts_close"),
        ({"score": pl.lit("high")}, SchemaMismatch, "`score` must hold numbers"),
        ({"symbol": pl.lit("A")}, InvalidRow, r"row 2: `symbol` \(=A\) has this window already"),
        (
            {"symbol": pl.lit("Z")},
            SchemaMismatch,
            "none of 2 scores .* 2 are of its windows and 0 of its symbols",
        ),
        ({"date": pl.lit(date(2031, 1, 1))}, SchemaMismatch, "0 are of its windows and 2 of its symbols"),
        ({"date": pl.lit(None, dtype=pl.Date)}, InvalidRow, "`date` .* must not be empty"),
    ],
)
def test_bad_scores_are_refused(
    tmp_path: Path, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    panel = read_table(written(panel_frame(), tmp_path / "panel.parquet"))
    frame = pl.DataFrame({"date": [DAYS[0]] * 2, "symbol": ["A", "B"], "score": [1.0, 2.0]})
    frame = frame.drop(change["drop"]) if "drop" in change else frame.with_columns(**change)
    with pytest.raises(error, match=words):
        read_scores(written(frame, tmp_path / "scores.parquet"), panel)


def test_a_date_tells_no_minute(tmp_path: Path) -> None:
    panel = read_table(written(minute_frame(), tmp_path / "panel.parquet"))
    frame = pl.DataFrame({"date": DAYS[:1], "symbol": ["A"], "score": [1.0]})
    with pytest.raises(SchemaMismatch, match="give `ts_close`"):
        read_scores(written(frame, tmp_path / "scores.parquet"), panel)
    wrong = pl.DataFrame({"ts_close": [1.5], "symbol": ["A"], "score": [1.0]})
    with pytest.raises(SchemaMismatch, match="whole ns"):
        read_scores(written(wrong, tmp_path / "wrong.parquet"), panel)


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no such file"):
        read_table(tmp_path / "nowhere.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(CorruptFile, match=r"bad\.parquet"):
        read_table(tmp_path / "bad.parquet")
    panel = read_table(written(panel_frame(), tmp_path / "panel.parquet"))
    (tmp_path / "scores.txt").write_text("1")
    with pytest.raises(CorruptFile, match="unknown kind"):
        read_scores(tmp_path / "scores.txt", panel)


def test_a_file_of_no_scores_is_named(tmp_path: Path) -> None:
    panel = read_table(written(panel_frame(), tmp_path / "panel.parquet"))
    (tmp_path / "scores.csv").write_text("date,symbol,score\n")
    with pytest.raises(EmptyReplay, match=r"scores\.csv: holds no score"):
        read_scores(tmp_path / "scores.csv", panel)


def test_longer_windows_are_made_of_shorter_bars(tmp_path: Path) -> None:
    starts = [OPEN_NS + MINUTE_NS * t for t in range(6)]
    prices = [10.0, 11, 12, 13, 14, 15]
    bars = dict.fromkeys(("open", "high", "low", "close"), prices)
    frame = pl.DataFrame({"ts_event": starts, "symbol": ["A"] * 6, **bars, "volume": [1] * 6})
    panel = read_panel(str(written(frame, tmp_path / "bars.parquet")), "2m")
    assert panel.prices[:, 0].tolist() == pytest.approx([11, 13, 15])
    assert panel.starts_ns.tolist() == starts[::2]


def test_groups_are_codes_of_sectors(tmp_path: Path) -> None:
    panel = read_table(written(panel_frame(), tmp_path / "panel.parquet"))
    sectors = pl.DataFrame({"symbol": ["B", "Z"], "sector": ["Tech", "Oil"]})
    assert panel_groups(written(sectors, tmp_path / "sectors.parquet"), panel).tolist() == [-1, 0]
    with pytest.raises(SchemaMismatch, match="tells no sector"):
        panel_groups(written(sectors[1:], tmp_path / "other.parquet"), panel)
