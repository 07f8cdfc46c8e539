"""Files of sectors and of related pairs."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import polars as pl
import pytest

from replay.errors import CorruptFile, InvalidRow, MissingFile, SchemaMismatch
from replay.sources.relations import Relations, read_relations


def pairs_file(folder: Path, *rows: str, header: str = "symbol_a,symbol_b,relation") -> Path:
    path = folder / "pairs.csv"
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_sector_for_each_symbol(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame(
        {"Symbol": ["B", "A", "C"], "name": ["b", "a", "c"], "sector": ["Energy", "Tech", None]}
    )
    path = tmp_path / f"x.{suffix}"
    frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    assert read_relations(path) == Relations({"B": "Energy", "A": "Tech"})


def test_a_relation_called_sector_makes_groups_named_after_their_first_symbol(tmp_path: Path) -> None:
    path = pairs_file(tmp_path, "D,C,Sector", "C,B,Sector", "Z,Y,Sector")
    groups = {**dict.fromkeys("BCD", "group of B"), **dict.fromkeys("YZ", "group of Y")}
    assert read_relations(path) == Relations(groups)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_other_relations_are_edges_with_their_weights(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame(
        {
            "symbol_a": ["B", "A", "C"],
            "symbol_b": ["A", "C", "B"],
            "relation": [" supply ", "owns", "supply"],
            "weight": [0.5, -1.0, 0.25],
        }
    )
    path = tmp_path / f"x.{suffix}"
    frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    pairs = {"owns": (("A", "C", -1.0),), "supply": (("B", "A", 0.5), ("C", "B", 0.25))}
    assert read_relations(path) == Relations(None, pairs)


def test_complete_groups_are_sectors_and_lone_couples_are_edges(tmp_path: Path) -> None:
    industry = [f"{a},{b},industry" for a, b in [*combinations("ABCD", 2), ("X", "Y")]]
    read = read_relations(pairs_file(tmp_path, *industry, "A,X,supply", "B,Y,supply"))
    assert read.sectors == {**dict.fromkeys("ABCD", "group of A"), **dict.fromkeys("XY", "group of X")}
    assert read.pairs == {"supply": (("A", "X", 1.0), ("B", "Y", 1.0))}
    # One pair missing, and it is no matter of groups any more.
    read = read_relations(pairs_file(tmp_path, *industry[1:]))
    assert read.sectors is None
    assert [len(pairs) for pairs in read.pairs.values()] == [6]


def test_of_several_groupings_the_one_called_sector_or_else_the_first_is_the_sectors(tmp_path: Path) -> None:
    rows = [f"{a},{b},{name}" for name in ("zone", "industry") for a, b in combinations("ABC", 2)]
    assert list(read_relations(pairs_file(tmp_path, *rows)).pairs) == ["zone"]
    read = read_relations(pairs_file(tmp_path, *rows, "X,Y,sector"))
    assert read.sectors == dict.fromkeys("XY", "group of X")
    assert list(read.pairs) == ["industry", "zone"]
    weighted = [f"{row},0.5" for row in rows]
    header = "symbol_a,symbol_b,relation,weight"
    assert read_relations(pairs_file(tmp_path, *weighted, header=header)).sectors is None


def test_pairs_without_a_name_are_related(tmp_path: Path) -> None:
    path = pairs_file(tmp_path, "A,B", header="symbol_a,symbol_b")
    assert read_relations(path).pairs == {"related": (("A", "B", 1.0),)}


def test_two_sectors_for_a_symbol_are_refused(tmp_path: Path) -> None:
    path = pairs_file(tmp_path, "A,Tech", "A,Tech", "A,Energy", header="symbol,sector")
    with pytest.raises(
        InvalidRow, match=r"row 3: `sector` \(=Energy\) is the second sector of A, after Tech"
    ):
        read_relations(path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("A,,x,1", r"`symbol_b` \(=None\) must name an instrument"),
        (",A,x,1", r"`symbol_a` \(=None\) must name an instrument"),
        ("A,A,x,1", r"`symbol_b` \(=A\) is symbol_a as well"),
        ("A,C,,1", r"`relation` \(=None\) must name the relation"),
        ("A,C,  ,1", r"`relation` \(=  \) must name the relation"),
        ("A,C,Lead,1", r"`relation` \(=Lead\) is what the pipeline makes itself"),
        ("A,C,correlation,1", r"`relation` \(=correlation\) is what the pipeline makes itself"),
        (f"A,C,{'x' * 65},1", "is over 64 characters"),
        ("A,C,x,1.5", r"`weight` \(=1.5\) must be a number in -1..1"),
        ("A,C,x,nan", r"`weight` \(=nan\) must be a number in -1..1"),
        ("A,C,x,", r"`weight` \(=None\) must be a number in -1..1"),
        ("A,C,x,much", r"`weight` \(=much\) must be a number in -1..1"),
    ],
)
def test_a_broken_pair_is_named(tmp_path: Path, row: str, message: str) -> None:
    path = pairs_file(tmp_path, "A,B,x,1", row, header="symbol_a,symbol_b,relation,weight")
    with pytest.raises(InvalidRow, match=message) as caught:
        read_relations(path)
    assert (caught.value.row, caught.value.file) == (2, str(path))


def test_sixteen_relations_of_edges_are_the_most(tmp_path: Path) -> None:
    rows = [f"A,B,r{n}" for n in range(16)]
    assert len(read_relations(pairs_file(tmp_path, *rows, "A,B,sector")).pairs) == 16
    with pytest.raises(SchemaMismatch, match="17 relations of edges, at most 16"):
        read_relations(pairs_file(tmp_path, *rows, "A,B,more"))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no such file of relations"):
        read_relations(tmp_path / "x.csv")
    with pytest.raises(SchemaMismatch, match="a file of sectors has symbol and sector"):
        read_relations(pairs_file(tmp_path, "1,2", header="a,b"))
    with pytest.raises(SchemaMismatch, match="a column is there twice"):
        read_relations(pairs_file(tmp_path, "1,2", header="symbol,Symbol"))
    with pytest.raises(SchemaMismatch, match="holds no pair"):
        read_relations(pairs_file(tmp_path))
    broken = tmp_path / "x.parquet"
    broken.write_bytes(b"PAR1")
    with pytest.raises(CorruptFile, match="no table of relations"):
        read_relations(broken)
