"""Sectors from rows of (symbol, sector), or from pairs: which symbols hang together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from replay.errors import InvalidRow

_SMALLEST_GROUP = 3  # a relation of lone couples says more about the couples than about groups


def sectors_by_symbol(frame: pl.DataFrame, path: Path) -> dict[str, str]:
    """Return the sector by symbol of a table of both; rows without either say nothing.

    Raises
    ------
    InvalidRow
        A symbol with two sectors.
    """
    sectors: dict[str, str] = {}
    rows = frame.select(pl.col("symbol", "sector").cast(pl.String)).iter_rows()
    for row, (symbol, sector) in enumerate(rows, start=1):
        if symbol is None or sector is None:
            continue
        if sectors.setdefault(symbol, sector) != sector:
            raise InvalidRow(
                path, row, "sector", sector, f"is the second sector of {symbol}, after {sectors[symbol]}"
            )
    return sectors


def sectors_by_group(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the sector by symbol: each connected group is one, named after its first symbol."""
    return {symbol: f"group of {first}" for symbol, first in _first_of_group(pairs).items()}


def are_groups(pairs: Iterable[tuple[str, str]]) -> bool:
    """Return whether all of a connected group are related to each other, and one group has three or more.

    That is what pairs of the same sector look like, and hardly anything else.
    """
    unordered = {(min(pair), max(pair)) for pair in pairs}
    first = _first_of_group(unordered)
    sizes = Counter(first.values())
    n_pairs = Counter(first[symbol] for symbol, _ in unordered)
    is_complete = all(n_pairs[group] == size * (size - 1) // 2 for group, size in sizes.items())
    return is_complete and max(sizes.values(), default=0) >= _SMALLEST_GROUP


def _first_of_group(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
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
    return {symbol: root(symbol) for symbol in list(parent)}
