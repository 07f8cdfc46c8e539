"""What determines a graph snapshot besides the ticks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from topics.control import Instrument


@dataclass(frozen=True, slots=True)
class GraphConfig:
    """Settings of the graph stage; see `PipelineConfig` for their meaning."""

    universe: str
    size_ns: int
    neighbors: int = 8
    correlation_windows: int = 32
    correlation_stride: int = 8


@dataclass(frozen=True, slots=True)
class InstrumentDirectory:
    """Names and sectors of the universe's instruments.

    Attributes
    ----------
    symbols
        Name by instrument id; every instrument that ticks must be here.
    sectors
        Code of the sector by instrument id, >= 0; absent where unknown.
    """

    symbols: dict[int, str]
    sectors: dict[int, int]

    @classmethod
    def from_instruments(cls, instruments: Iterable[Instrument], universe: str) -> Self:
        """Read the announcements of a universe; the last one of an id holds.

        A sector's code is its rank among the sorted names, so announce the whole universe before its
        first tick: a sector that appears later shifts the codes behind it.
        """
        announced = {i.instrument_id: i for i in instruments if i.universe == universe}
        names = sorted({i.sector for i in announced.values() if i.sector})
        code = {name: rank for rank, name in enumerate(names)}
        return cls(
            symbols={i.instrument_id: i.symbol for i in announced.values()},
            sectors={i.instrument_id: code[i.sector] for i in announced.values() if i.sector},
        )
