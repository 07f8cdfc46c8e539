"""Finding the reader of a path."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from replay.errors import ConfigError, CorruptFile, MissingFile, UnknownSymbol
from replay.sources.base import Selection
from replay.sources.open import open_source, open_sources
from tests.unit.replay.factories import T0, all_records, dbn_bytes, trades, write_lean


def tick_file(path: Path, symbol: str) -> Path:
    frame = pl.DataFrame({"ts_event": [T0], "symbol": [symbol], "price": [1.0], "size": [1]})
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    return path


def test_content_is_told_by_its_first_bytes_whatever_the_name(tmp_path: Path) -> None:
    parquet = tick_file(tmp_path / "a.parquet", "A").rename(tmp_path / "a.bin")
    assert open_source(parquet)[0].symbols == ("A",)
    dbn = tmp_path / "b.data"
    dbn.write_bytes(dbn_bytes("trades", trades([0])))
    assert open_source(dbn)[0].schema == "trades"
    lean = write_lean(tmp_path, "aig", "20131007", "trade", ["1,1,1,P,1,0"]).rename(tmp_path / "c.archive")
    assert open_source(lean)[0].symbols == ("AIG",)


def test_a_folder_is_its_files_by_name(tmp_path: Path) -> None:
    tick_file(tmp_path / "b.parquet", "B")
    tick_file(tmp_path / "a.csv", "A")
    (tmp_path / "notes.txt").write_text("not data")
    assert [source.symbols for source in open_source(tmp_path)] == [("A",), ("B",)]


def test_a_missing_path_names_the_installed_panel(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"nowhere\.parquet: no such file or folder; .*'sp500-2009'"):
        open_source(tmp_path / "nowhere.parquet")
    with pytest.raises(FileNotFoundError):
        open_source(tmp_path / "nowhere.parquet")


@pytest.mark.parametrize(("name", "data"), [("x.parquet", b""), ("x.txt", b"hello"), ("x.parquet", b"hello")])
def test_what_is_no_data_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorruptFile, match=name):
        open_source(tmp_path / name)


def test_several_paths_keep_their_order_and_all_symbols_must_exist(tmp_path: Path) -> None:
    b, a = tick_file(tmp_path / "b.csv", "B"), tick_file(tmp_path / "a.csv", "A")
    assert [source.symbols for source in open_sources([b, a], Selection())] == [("B",), ("A",)]
    (only,) = open_sources([b, a], Selection(frozenset({"A"})))
    assert len(all_records(only)) == 1
    with pytest.raises(UnknownSymbol, match=r"no source holds the symbol\(s\) C, D: .*b\.csv"):
        open_sources([b, a], Selection(frozenset({"A", "D", "C"})))


def test_a_path_twice_or_none_is_a_mistake(tmp_path: Path) -> None:
    path = tick_file(tmp_path / "a.csv", "A")
    with pytest.raises(ConfigError, match="given twice"):
        open_sources([path, tmp_path / ".." / tmp_path.name / "a.csv"], Selection())
    with pytest.raises(ConfigError, match="no path given"):
        open_sources([], Selection())
