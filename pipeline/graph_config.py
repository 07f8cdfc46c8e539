"""What determines a graph snapshot besides the ticks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from pipeline.announced_relations import Edges, read_edges
from topics.control import Instrument
from topics.runs import CORRELATION, LEAD


@dataclass(frozen=True, slots=True)
class GraphConfig:
    """Settings of the graph stage; see `PipelineConfig` for their meaning."""

    universe: str
    size_ns: int
    neighbors: int = 8
    correlation_windows: int = 32
    correlation_stride: int = 8
    lead_neighbors: int = 8
    lead_windows: int = 128
    lead_stride: int = 8

    @property
    def ring_depth(self) -> int:
        """Snapshots whose returns the stage has to remember: one more than there are pairs to look back on."""
        return max(self.correlation_windows, self.lead_windows + 1)

    def relations(self, directory: InstrumentDirectory) -> tuple[tuple[str, int], ...]:
        """Return name and number of slots of each edge relation of a snapshot, those without slots left out."""
        made = (CORRELATION, self.neighbors), (LEAD, self.lead_neighbors)
        announced = ((name, edges.width) for name, edges in sorted(directory.edges.items()))
        return tuple((name, width) for name, width in (*made, *announced) if width)


@dataclass(frozen=True, slots=True)
class InstrumentDirectory:
    """Names, sectors and announced relations of the universe's instruments.

    Attributes
    ----------
    symbols
        Name by instrument id; every instrument that ticks must be here.
    sectors
        Code of the sector by instrument id, >= 0; absent where unknown.
    edges
        Announced edges by relation.
    """

    symbols: dict[int, str]
    sectors: dict[int, int]
    edges: dict[str, Edges] = field(default_factory=dict)

    @classmethod
    def from_instruments(cls, instruments: Iterable[Instrument], universe: str) -> Self:
        """Read the announcements of a universe; the last one of an id holds.

        A sector's code is its rank among the sorted names, and the relations share the slots of a snapshot, so
        announce the whole universe before its first tick: a sector that appears later shifts the codes behind
        it, a relation that appears later the slots.
        """
        announced = {i.instrument_id: i for i in instruments if i.universe == universe}
        names = sorted({i.sector for i in announced.values() if i.sector})
        code = {name: rank for rank, name in enumerate(names)}
        return cls(
            symbols={i.instrument_id: i.symbol for i in announced.values()},
            sectors={i.instrument_id: code[i.sector] for i in announced.values() if i.sector},
            edges=read_edges(announced.values()),
        )
