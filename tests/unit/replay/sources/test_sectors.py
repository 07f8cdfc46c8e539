"""Sectors from files of symbols or of pairs."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from replay.errors import CorruptFile, InvalidRow, MissingFile, SchemaMismatch
from replay.sources.sectors import read_sectors


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_sector_for_each_symbol(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame(
        {"Symbol": ["B", "A", "C"], "name": ["b", "a", "c"], "sector": ["Energy", "Tech", None]}
    )
    path = tmp_path / f"x.{suffix}"
    frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    assert read_sectors(path) == {"B": "Energy", "A": "Tech"}


def test_pairs_make_groups_named_after_their_first_symbol(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("symbol_a,symbol_b,relation\nD,C,sector\nC,B,sector\nZ,Y,sector\n")
    groups = read_sectors(path)
    assert groups == {**dict.fromkeys("BCD", "group of B"), **dict.fromkeys("YZ", "group of Y")}


def test_two_sectors_for_a_symbol_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("symbol,sector\nA,Tech\nA,Tech\nA,Energy\n")
    with pytest.raises(
        InvalidRow, match=r"row 3: `sector` \(=Energy\) is the second sector of A, after Tech"
    ):
        read_sectors(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no such file of sectors"):
        read_sectors(tmp_path / "x.csv")
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(SchemaMismatch, match="a file of sectors has symbol and sector"):
        read_sectors(path)
    broken = tmp_path / "x.parquet"
    broken.write_bytes(b"PAR1")
    with pytest.raises(CorruptFile, match="no table of sectors"):
        read_sectors(broken)
