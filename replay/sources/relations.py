"""What a file says of how instruments are related: sectors, and edges of any number of relations.

It has the columns symbol and sector, or symbol_a, symbol_b, relation and perhaps weight. Of the pairs, one
relation may give the sectors: the one that is called `sector`, else the first by name whose connected groups
are complete (everyone related to everyone, a group of three or more among them, all weights 1). Every other
relation is one of edges, which lead both ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from pipeline.announced_relations import MAX_RELATIONS
from replay.errors import CorruptFile, InvalidRow, MissingFile, SchemaMismatch
from replay.sources.sectors import are_groups, sectors_by_group, sectors_by_symbol
from topics.runs import MADE_RELATIONS

SECTOR: Final = "sector"
UNNAMED: Final = "related"
"""Name of the relation of a file of pairs without a column of that name."""

_LONGEST_NAME: Final = 64

Pair = tuple[str, str, float]


@dataclass(frozen=True, slots=True)
class Relations:
    """How instruments are related.

    Attributes
    ----------
    sectors
        Sector by symbol; None where the file says nothing about sectors.
    pairs
        Undirected (symbol_a, symbol_b, weight) by relation, in order of the file.
    """

    sectors: Mapping[str, str] | None = None
    pairs: Mapping[str, tuple[Pair, ...]] = field(default_factory=dict)


def read_relations(path: Path) -> Relations:
    """Read a file of sectors or of related pairs.

    Raises
    ------
    MissingFile
        Nothing there.
    SchemaMismatch
        Neither kind of columns, no pair, or more than 16 relations of edges.
    InvalidRow
        A symbol with two sectors; a pair without two different symbols; a relation without a name, or with
        one of those that the pipeline makes itself; a weight that is no number in -1..1.
    CorruptFile
        Neither Parquet nor CSV.
    """
    if not path.is_file():
        raise MissingFile(f"{path}: no such file of relations")
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CorruptFile(f"{path}: no table of relations: {str(error).splitlines()[0]}") from error
    names = [name.strip().lower() for name in frame.columns]
    if len(set(names)) < len(names):
        raise SchemaMismatch(f"{path}: a column is there twice: {', '.join(frame.columns)}")
    frame = frame.rename(dict(zip(frame.columns, names, strict=True)))
    if {"symbol", "sector"} <= set(names):
        return Relations(sectors=sectors_by_symbol(frame, path))
    if {"symbol_a", "symbol_b"} <= set(names):
        return _by_relation(_checked_pairs(frame, path), path)
    raise SchemaMismatch(
        f"{path}: columns {', '.join(names)}; a file of sectors has symbol and sector,"
        " one of relations symbol_a, symbol_b, relation and perhaps weight"
    )


def _checked_pairs(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    # Columns symbol_a, symbol_b, relation, weight; the first row that breaks a rule is named.
    has = set(frame.columns)
    named = pl.col("relation").cast(pl.String).str.strip_chars() if "relation" in has else pl.lit(UNNAMED)
    weight = pl.col("weight").cast(pl.Float64, strict=False) if "weight" in has else pl.lit(1.0)
    if not len(frame):
        raise SchemaMismatch(f"{path}: holds no pair")
    checked = frame.select(
        pl.col("symbol_a", "symbol_b").cast(pl.String),
        relation=named.fill_null(""),
        weight=weight,
    )
    told = {name: frame[name] if name in has else checked[name] for name in checked.columns}
    for name in ("symbol_a", "symbol_b"):
        empty = checked[name].fill_null("") == ""
        _refuse(path, name, told[name], empty, "must name an instrument")
    _refuse(
        path, "symbol_b", told["symbol_b"], checked["symbol_a"] == checked["symbol_b"], "is symbol_a as well"
    )
    length = checked["relation"].str.len_chars()
    _refuse(path, "relation", told["relation"], length == 0, "must name the relation")
    _refuse(path, "relation", told["relation"], length > _LONGEST_NAME, f"is over {_LONGEST_NAME} characters")
    _refuse(
        path,
        "relation",
        told["relation"],
        checked["relation"].str.to_lowercase().is_in(MADE_RELATIONS),
        "is what the pipeline makes itself from returns: give the relation another name",
    )
    in_range = checked["weight"].is_between(-1, 1).fill_null(False)
    _refuse(path, "weight", told["weight"], ~in_range, "must be a number in -1..1")
    return checked


def _refuse(path: Path, column: str, values: pl.Series, wrong: pl.Series, rule: str) -> None:
    rows = wrong.arg_true()
    if len(rows):
        raise InvalidRow(path, int(rows[0]) + 1, column, values[int(rows[0])], rule)


def _by_relation(frame: pl.DataFrame, path: Path) -> Relations:
    pairs = {
        str(name): tuple(part.select("symbol_a", "symbol_b", "weight").iter_rows())
        for (name,), part in frame.sort("relation", maintain_order=True).group_by(
            "relation", maintain_order=True
        )
    }
    sector = _sector_relation(pairs)
    sectors = None
    if sector is not None:
        sectors = sectors_by_group((a, b) for a, b, _ in pairs.pop(sector))
    if len(pairs) > MAX_RELATIONS:
        raise SchemaMismatch(
            f"{path}: {len(pairs)} relations of edges, at most {MAX_RELATIONS} are taken: join or drop some"
        )
    return Relations(sectors, pairs)


def _sector_relation(pairs: Mapping[str, tuple[Pair, ...]]) -> str | None:
    for name in pairs:
        if name.lower() == SECTOR:
            return name
    for name, edges in pairs.items():
        if all(weight == 1.0 for _, _, weight in edges) and are_groups((a, b) for a, b, _ in edges):
            return name
    return None
