"""The values that flow between the stages: a run of ticks, windows, snapshots or predictions.

A run is the unit of flow: live it holds one window, catching up it holds hundreds. How a sequence is
cut into runs never changes a byte of any result. Letters: T windows, N instruments, F features, K neighbors
of all relations together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from topics.types import (
    BoolArray,
    Float32Array,
    Int16Array,
    Int32Array,
    Int64Array,
    RecordArray,
    Role,
    UInt32Array,
)

WINDOW_ROW_DTYPE: Final = np.dtype(
    [
        ("ts_close", "<i8"),  # ns since the UNIX epoch, end of the half-open window [ts_open, ts_close)
        ("instrument_id", "<u4"),
        ("n_ticks", "<i8"),  # records folded in: trades + quotes + bars; the accounting is by this column
        ("n_trades", "<i8"),
        ("n_quotes", "<i8"),
        ("open", "<i8"),  # prices in 1e-9; of trades, else of bars, else of the quotes' middle
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("volume", "<i8"),  # units of the instrument's size
        ("buy_volume", "<i8"),  # volume whose aggressor bought, by the record's side, else by the tick rule
        ("sell_volume", "<i8"),
        ("notional", "<f8"),  # sum of price x size in currency, a left fold in event order
        ("sum_sq_return", "<f8"),  # sum of squared simple returns between consecutive prices of the window
        ("spread_sum", "<f8"),  # sum over quotes of (ask - bid) / middle
        ("quote_imbalance_sum", "<f8"),  # sum over quotes of (bid_size - ask_size) / (bid_size + ask_size)
        ("ts_last", "<i8"),  # ns, the latest ts_event folded in
    ]
)
"""One instrument in one closed window. Only instruments with at least one tick have a row."""


CORRELATION: Final = "correlation"
"""Edge relation to the instruments with the strongest rolling correlation of returns."""

LEAD: Final = "lead"
"""Edge relation from the instruments whose return of the window before best tells one's own."""

MADE_RELATIONS: Final = (CORRELATION, LEAD)
"""Edge relations that the graph stage makes from ticks, first in a snapshot; announced ones bear other names."""


@dataclass(frozen=True, slots=True)
class TickRun:
    """Ticks of one DBN schema, in arrival order.

    Attributes
    ----------
    schema
        A name in `topics.ticks.SCHEMAS`.
    records
        Structured array of that schema's dtype; heartbeats are rows of instrument 0.
    """

    schema: str
    records: RecordArray


@dataclass(frozen=True, slots=True)
class WindowRun:
    """One tick partition's closed windows, in order of (ts_close, instrument_id).

    Attributes
    ----------
    frontier_ns
        Every window of this partition with ts_close <= frontier_ns is closed; empty `rows` still move it.
    rows
        Structured array of `WINDOW_ROW_DTYPE`.
    """

    universe: str
    partition: int
    size_ns: int
    frontier_ns: int
    rows: RecordArray


@dataclass(frozen=True, slots=True)
class GraphRun:
    """Consecutive graph snapshots of one universe; windows in which nothing ticked have none.

    Attributes
    ----------
    seq
        Index in the universe's sequence of the first snapshot of this run.
    instrument_ids
        (N,) ascending: every instrument seen up to the last snapshot of the run.
    symbols
        The N instruments' names.
    sector
        (N,) code of the sector, -1 where unknown.
    ts_close
        (T,) ns, strictly ascending.
    mask
        (T, N) whether the instrument ticked in the window.
    features
        (T, N, F) normalized across the present instruments; 0 where absent.
    close
        (T, N) last price in 1e-9; `UNDEF_PRICE` where absent.
    neighbors
        (T, N, K) indices into N of each instrument's neighbors, -1 for none; each relation fills its slots
        from the front, strongest first. An edge leads from the neighbor to the instrument.
    neighbor_weights
        (T, N, K) in [-1, 1], with a sign; 0 where there is none.
    relations
        Name and number of slots (>= 1) of each edge relation, in the order in which they share K.
    feature_names
        The F features' names; empty where the producer does not name them.
    """

    universe: str
    seq: int
    size_ns: int
    instrument_ids: UInt32Array
    symbols: tuple[str, ...]
    sector: Int16Array
    ts_close: Int64Array
    mask: BoolArray
    features: Float32Array
    close: Int64Array
    neighbors: Int32Array
    neighbor_weights: Float32Array
    relations: tuple[tuple[str, int], ...] = ()
    feature_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PredictionRun:
    """Scores of one model for consecutive windows.

    Attributes
    ----------
    seq
        Index in the role's sequence of the first window; it goes on across a change of models.
    scores
        (T, N) predicted standing of the next window's return, comparable within a window; 0 where absent.
    ranks
        (T, N) 1 is the highest score, ties by position; 0 where absent.
    mask
        (T, N) whether there is a prediction.
    warmup
        (T,) the model has seen fewer windows than it needs: do not trade.
    """

    universe: str
    role: Role
    model_id: str
    seq: int
    size_ns: int
    instrument_ids: UInt32Array
    symbols: tuple[str, ...]
    ts_close: Int64Array
    scores: Float32Array
    ranks: Int32Array
    mask: BoolArray
    warmup: BoolArray
