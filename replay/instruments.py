"""The ids that a replay gives to its instruments: 1..N by sorted symbol over all sources.

So ids depend on what is replayed, never on the order of the sources, the time range, or the partitions.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.announced_relations import keep_strongest
from replay.archive.recorded import the_recorded
from replay.errors import ConfigError, SchemaMismatch
from replay.sources.base import Source, by_position
from replay.sources.relations import Pair, Relations
from topics.control import Instrument, Related
from topics.types import UInt32Array

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InstrumentTable:
    """Instruments of one replay.

    Attributes
    ----------
    symbols
        Sorted; the instrument id is the 1-based position.
    sectors
        Name of the sector by symbol, absent where unknown.
    related
        Edges that lead to an instrument, by its id, absent where there are none.
    """

    symbols: tuple[str, ...]
    sectors: Mapping[str, str]
    related: Mapping[int, tuple[Related, ...]] = field(default_factory=dict)

    @property
    def instrument_ids(self) -> UInt32Array | None:
        """The ids by position in `symbols`; None for the numbers from 1."""
        return None

    def ids_of(self, source: Source) -> UInt32Array:
        """Return the id of each of a source's positions, (len(source.symbols) + 1,); entry 0 is unused."""
        ids = by_position(self.symbols)
        return np.array([0, *(ids[symbol] for symbol in source.symbols)], dtype=np.uint32)

    def announcements(self, universe: str) -> list[Instrument]:
        """Return the records that announce the instruments, by id."""
        return [
            Instrument(
                instrument_id=number,
                symbol=symbol,
                universe=universe,
                sector=self.sectors.get(symbol),
                related=self.related.get(number, ()),
            )
            for number, symbol in enumerate(self.symbols, start=1)
        ]


@dataclass(frozen=True, slots=True)
class RecordedInstruments(InstrumentTable):
    """Instruments of an archive: as they were announced, ids, universes and relations included.

    Attributes
    ----------
    recorded
        By id, in the order of `symbols`.
    """

    recorded: tuple[Instrument, ...] = ()

    @property
    def instrument_ids(self) -> UInt32Array | None:
        """The ids by position in `symbols`."""
        return np.array([one.instrument_id for one in self.recorded], np.uint32)

    def announcements(self, universe: str) -> list[Instrument]:
        """Return the announcements that were recorded."""
        return list(self.recorded)


def instrument_table(sources: Sequence[Source], relations: Relations | None = None) -> InstrumentTable:
    """Return the instruments of several sources.

    Parameters
    ----------
    relations
        Edges between them, and sectors instead of what the sources say themselves; symbols that are in no
        source are ignored.

    Raises
    ------
    ConfigError
        An archive beside other sources, or with `relations`.
    SchemaMismatch
        Two sources give a symbol different sectors, or `relations` know none of the symbols.
    """
    recorded = the_recorded(sources)
    if recorded is not None:
        if relations is not None:
            raise ConfigError(
                f"{recorded.name}: an archive has its own sectors and relations: leave --sectors out"
            )
        return RecordedInstruments(recorded.symbols, recorded.sectors, recorded=recorded.instruments)
    symbols = tuple(sorted({symbol for source in sources for symbol in source.symbols}))
    relations = relations or Relations()
    related = _related(symbols, relations.pairs)
    if relations.sectors is None:
        sectors = _sectors_of(sources)
    else:
        sectors = {symbol: relations.sectors[symbol] for symbol in symbols if symbol in relations.sectors}
    says_something = relations.sectors is not None or relations.pairs
    if says_something and symbols and not related and not (relations.sectors and sectors):
        raise SchemaMismatch(
            f"the file of relations knows none of the {len(symbols)} symbols, for instance {symbols[0]!r}"
        )
    return InstrumentTable(symbols, sectors, related)


def _sectors_of(sources: Sequence[Source]) -> dict[str, str]:
    found: dict[str, str] = {}
    for source in sources:
        for symbol in source.symbols:
            sector = source.sectors.get(symbol)
            if sector is not None and found.setdefault(symbol, sector) != sector:
                raise SchemaMismatch(
                    f"{source.name}: {symbol} is in sector {sector!r}, elsewhere in {found[symbol]!r};"
                    " name one file of sectors for all"
                )
    return found


def _related(
    symbols: tuple[str, ...], relations: Mapping[str, Iterable[Pair]]
) -> dict[int, tuple[Related, ...]]:
    ids = by_position(symbols)
    names = {number: symbol for symbol, number in ids.items()}
    related: dict[int, tuple[Related, ...]] = {}
    for relation, pairs in sorted(relations.items()):
        edges: dict[int, dict[int, float]] = {}
        for symbol_a, symbol_b, weight in pairs:
            # A weight of 0 says that there is none; of a pair that comes again the stronger holds.
            if symbol_a in ids and symbol_b in ids and weight:
                for to, other in ((ids[symbol_a], ids[symbol_b]), (ids[symbol_b], ids[symbol_a])):
                    others = edges.setdefault(to, {})
                    others[other] = max(others.get(other, 0.0), weight, key=lambda w: (abs(w), w))
        if not edges:
            logger.warning("relation %r: no pair of it is among the %d symbols", relation, len(symbols))
        for number, kept in sorted(keep_strongest(relation, edges, names).items()):
            found = tuple(Related(relation, other, weight) for other, weight in kept)
            related[number] = related.get(number, ()) + found
    return related
