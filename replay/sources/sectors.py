"""Sectors from a file of (symbol, sector), or of related pairs (symbol_a, symbol_b, relation)."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from replay.errors import CorruptFile, InvalidRow, MissingFile, SchemaMismatch


def read_sectors(path: Path) -> dict[str, str]:
    """Return the sector by symbol; of pairs, each connected group is a sector named after its first symbol.

    Raises
    ------
    MissingFile
        Nothing there.
    SchemaMismatch
        Neither kind of columns.
    InvalidRow
        A symbol with two sectors.
    CorruptFile
        Neither Parquet nor CSV.
    """
    if not path.is_file():
        raise MissingFile(f"{path}: no such file of sectors")
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CorruptFile(f"{path}: no table of sectors: {str(error).splitlines()[0]}") from error
    frame = frame.rename({name: name.strip().lower() for name in frame.columns})
    if {"symbol", "sector"} <= set(frame.columns):
        return _by_symbol(frame.select(pl.col("symbol", "sector").cast(pl.String)), path)
    if {"symbol_a", "symbol_b"} <= set(frame.columns):
        pairs = frame.select(pl.col("symbol_a", "symbol_b").cast(pl.String)).drop_nulls()
        return _by_group(pairs.rows())
    raise SchemaMismatch(
        f"{path}: columns {', '.join(frame.columns)}; a file of sectors has symbol and sector,"
        " one of relations symbol_a and symbol_b"
    )


def _by_symbol(frame: pl.DataFrame, path: Path) -> dict[str, str]:
    sectors: dict[str, str] = {}
    for row, (symbol, sector) in enumerate(frame.iter_rows(), start=1):
        if symbol is None or sector is None:
            continue
        if sectors.setdefault(symbol, sector) != sector:
            raise InvalidRow(
                path, row, "sector", sector, f"is the second sector of {symbol}, after {sectors[symbol]}"
            )
    return sectors


def _by_group(pairs: list[tuple[str, ...]]) -> dict[str, str]:
    parent: dict[str, str] = {}

    def root(symbol: str) -> str:
        parent.setdefault(symbol, symbol)
        while parent[symbol] != symbol:
            parent[symbol] = parent[parent[symbol]]
            symbol = parent[symbol]
        return symbol

    for symbol_a, symbol_b in pairs:
        first, second = sorted((root(symbol_a), root(symbol_b)))
        parent[second] = first
    return {symbol: f"group of {root(symbol)}" for symbol in list(parent)}
