"""A panel as float arrays, with the universe and the labels of the evaluation protocol.

Letters: T windows, N instruments.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g.panel_data import PanelFile
from cs3g_model.evaluation.panel import MarketPanel
from pipeline.offline import windows_from_ticks
from replay.errors import EmptyReplay
from replay.instruments import instrument_table
from replay.sources.relations import read_relations
from topics.runs import TickRun
from topics.types import NANOS_PER_DAY, PRICE_SCALE

FloatArray = NDArray[np.float64]
Int64Array = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

LAGS: Final = 16


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars of T windows of N instruments.

    Attributes
    ----------
    ts_open
        (T,) int64 ns.
    size_ns
        Length of a window.
    symbols
        N names, sorted.
    sector
        (N,) int64 codes, -1 where unknown.
    open, high, low, close
        (T, N) float64 adjusted prices; NaN without a bar.
    log_notional
        (T, N) float64 log of close x volume; NaN without a bar.
    """

    ts_open: Int64Array
    size_ns: int
    symbols: tuple[str, ...]
    sector: Int64Array
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    log_notional: FloatArray

    @property
    def present(self) -> BoolArray:
        """Return (T, N) whether there is a bar."""
        return np.isfinite(self.close)

    @property
    def is_intraday(self) -> bool:
        """Whether windows are shorter than a day."""
        return self.size_ns < NANOS_PER_DAY

    def labels(self) -> FloatArray:
        """Return the (T, N) return to the next window's close as `cs3g evaluate` judges it; NaN for none."""
        return MarketPanel(self.ts_open, self.symbols, self.close).labels()

    def windows_of(self, first_ns: int | None, stop_ns: int | None) -> Int64Array:
        """Return the windows that open in [first_ns, stop_ns)."""
        inside = np.ones(len(self.ts_open), np.bool_)
        if first_ns is not None:
            inside &= self.ts_open >= first_ns
        if stop_ns is not None:
            inside &= self.ts_open < stop_ns
        return np.flatnonzero(inside)


def read_panel(data: str, relations: Path | None = None, window_ns: int | None = None) -> Panel:
    """Read a panel, bars or ticks with the project's own reader and windows.

    Parameters
    ----------
    data
        File, or name of an installed data set.
    relations
        File of sectors; the data set's own without it.
    window_ns
        Length of a window; the bars' own without it.

    Raises
    ------
    ReplayError
        If a file cannot be read, holds several sources or no window.
    """
    file = PanelFile(data, relations, window_ns)
    source = file.source()
    size_ns = file.size_ns_of(source)
    runs = windows_from_ticks(
        ((0, TickRun(source.schema, records)) for records in source.chunks()),
        universe="panel",
        size_ns=size_ns,
        partitions=1,
    )
    rows = [run.rows for run in runs if len(run.rows)]
    if not rows:
        raise EmptyReplay(f"{data}: no window")
    table = np.concatenate(rows)
    closes, t = np.unique(table["ts_close"], return_inverse=True)
    n = table["instrument_id"].astype(np.int64) - 1
    shape = (len(closes), len(source.symbols))
    columns = {}
    for name in ("open", "high", "low", "close", "volume"):
        column = np.full(shape, np.nan)
        column[t, n] = table[name]
        columns[name] = column if name == "volume" else column / PRICE_SCALE
    traded = columns.pop("volume") * columns["close"]
    known = instrument_table([source], None if relations is None else read_relations(relations)).sectors
    names = sorted(set(known.values()))
    sector = np.array([names.index(known[s]) if s in known else -1 for s in source.symbols], np.int64)
    ts_open = closes.astype(np.int64) - size_ns
    log_notional = np.log(np.where(traded > 0, traded, np.nan))
    return Panel(ts_open, size_ns, source.symbols, sector, **columns, log_notional=log_notional)
