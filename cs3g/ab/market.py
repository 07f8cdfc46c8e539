"""What happened in the windows that models are compared on: instruments, sectors and last prices.

Letters: T windows, N instruments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cs3g.collect import CloseRun
from cs3g.errors import ComparisonError
from cs3g_model.evaluation.panel import MarketPanel
from replay.instruments import instrument_table
from replay.sources.base import Source
from replay.sources.relations import Relations
from topics.runs import GraphRun
from topics.types import UNDEF_PRICE, Float64Array, Int16Array, Int64Array, UInt32Array

__all__ = ["Market", "market_of_closes", "market_of_graphs", "sector_names"]


@dataclass(frozen=True, slots=True)
class Market:
    """Last prices of one universe.

    Attributes
    ----------
    size_ns
        Length of a window.
    ts_close
        (T,) ends of the windows, ns, ascending.
    instrument_ids
        (N,) ascending.
    symbols
        The N instruments' names.
    sector
        (N,) code, -1 where unknown.
    close
        (T, N) in 1e-9; `UNDEF_PRICE` where an instrument did not tick.
    sector_names
        By code; empty where only codes are known.
    """

    size_ns: int
    ts_close: Int64Array
    instrument_ids: UInt32Array
    symbols: tuple[str, ...]
    sector: Int16Array
    close: Int64Array
    sector_names: tuple[str, ...] = ()

    def panel(self) -> MarketPanel:
        """Return the prices as the evaluation takes them."""
        usable = (self.close != UNDEF_PRICE) & (self.close > 0)
        prices: Float64Array = np.where(usable, self.close, np.nan) * 1e-9
        return MarketPanel(self.ts_close - self.size_ns, self.symbols, prices)

    def sector_name(self, code: int) -> str:
        """Return what a sector is called."""
        return self.sector_names[code] if 0 <= code < len(self.sector_names) else f"sector {code}"


def market_of_graphs(run: GraphRun, sector_names: Sequence[str] = ()) -> Market:
    """Return the market that snapshots saw."""
    return Market(
        size_ns=run.size_ns,
        ts_close=run.ts_close,
        instrument_ids=run.instrument_ids,
        symbols=run.symbols,
        sector=run.sector,
        close=run.close,
        sector_names=tuple(sector_names),
    )


def market_of_closes(
    pieces: Sequence[CloseRun], symbols: Mapping[int, str], size_ns: int, sector_names: Sequence[str] = ()
) -> Market:
    """Stack what was collected from a run's snapshots, over the instruments of the last piece.

    Parameters
    ----------
    pieces
        Consecutive closes.
    symbols
        Name by instrument id; "#id" where it is not known.

    Raises
    ------
    ComparisonError
        There is no piece.
    """
    if not pieces:
        raise ComparisonError("no snapshot was collected, so there is no window to compare models on")
    last = pieces[-1]
    ids = last.instrument_ids
    ts_close = np.concatenate([piece.ts_close for piece in pieces])
    close = np.full((len(ts_close), len(ids)), UNDEF_PRICE, np.int64)
    start = 0
    for piece in pieces:
        rows = slice(start, start + len(piece.ts_close))
        close[rows, np.searchsorted(ids, piece.instrument_ids)] = piece.close
        start = rows.stop
    return Market(
        size_ns=size_ns,
        ts_close=ts_close,
        instrument_ids=ids,
        symbols=tuple(symbols.get(number, f"#{number}") for number in ids.tolist()),
        sector=np.array([last.sector.get(number, -1) for number in ids.tolist()], np.int16),
        close=close,
        sector_names=tuple(sector_names),
    )


def sector_names(sources: Sequence[Source], relations: Relations | None) -> tuple[str, ...]:
    """Return the sectors by the code that the pipeline gives them: their rank among the sorted names."""
    sectors = instrument_table(sources, relations).sectors
    return tuple(sorted({name for name in sectors.values() if name}))
