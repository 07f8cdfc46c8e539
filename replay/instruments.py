"""The ids that a replay gives to its instruments: 1..N by sorted symbol over all sources.

So ids depend on what is replayed, never on the order of the sources, the time range, or the partitions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from replay.errors import SchemaMismatch
from replay.sources.base import Source, by_position
from topics.control import Instrument
from topics.types import UInt32Array


@dataclass(frozen=True, slots=True)
class InstrumentTable:
    """Instruments of one replay.

    Attributes
    ----------
    symbols
        Sorted; the instrument id is the 1-based position.
    sectors
        Name of the sector by symbol, absent where unknown.
    """

    symbols: tuple[str, ...]
    sectors: Mapping[str, str]

    def ids_of(self, source: Source) -> UInt32Array:
        """Return the id of each of a source's positions, (len(source.symbols) + 1,); entry 0 is unused."""
        ids = by_position(self.symbols)
        return np.array([0, *(ids[symbol] for symbol in source.symbols)], dtype=np.uint32)

    def announcements(self, universe: str) -> list[Instrument]:
        """Return the records that announce the instruments, by id."""
        return [
            Instrument(
                instrument_id=number, symbol=symbol, universe=universe, sector=self.sectors.get(symbol)
            )
            for number, symbol in enumerate(self.symbols, start=1)
        ]


def instrument_table(sources: Sequence[Source], sectors: Mapping[str, str] | None = None) -> InstrumentTable:
    """Return the instruments of several sources.

    Parameters
    ----------
    sectors
        Sector by symbol, instead of what the sources say themselves.

    Raises
    ------
    SchemaMismatch
        Two sources give a symbol different sectors, or none of `sectors` is of a symbol here.
    """
    symbols = tuple(sorted({symbol for source in sources for symbol in source.symbols}))
    if sectors is not None:
        known = {symbol: sectors[symbol] for symbol in symbols if symbol in sectors}
        if not known and symbols:
            raise SchemaMismatch(
                f"the file of sectors knows none of the {len(symbols)} symbols, for instance {symbols[0]!r}"
            )
        return InstrumentTable(symbols, known)
    found: dict[str, str] = {}
    for source in sources:
        for symbol in source.symbols:
            sector = source.sectors.get(symbol)
            if sector is not None and found.setdefault(symbol, sector) != sector:
                raise SchemaMismatch(
                    f"{source.name}: {symbol} is in sector {sector!r}, elsewhere in {found[symbol]!r};"
                    " name one file of sectors for all"
                )
    return InstrumentTable(symbols, found)
