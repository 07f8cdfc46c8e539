"""Closed windows to graph snapshots: features, mask, closes and neighbors at every ts_close.

Runs of hundreds of windows are handled by arrays and kernels that fold, so where a run is cut or a worker
restarted changes no bit for any instrument: a run that ends later may only hold more rows, of instruments
that come later, and those are absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from cs3g_model.errors import FeatureError
from cs3g_model.features import FEATURE_NAMES, raw_features
from cs3g_model.normalization import normalize
from cs3g_model.snapshots import Snapshots
from cs3g_model.window_columns import COLUMN_NAMES, WindowColumns, last_close_before
from pipeline.errors import UnknownInstrumentError, WindowRunError
from pipeline.graph_config import GraphConfig, InstrumentDirectory
from pipeline.graph_state import GraphState
from pipeline.lead_lag import leader_workspace
from pipeline.neighbor_slots import place_every_window
from pipeline.rolling_relations import roll_relations
from topics.runs import GraphRun
from topics.types import UNDEF_PRICE, RecordArray, UInt32Array

MAX_CELLS: Final = 2**19
"""Windows x instruments that are worth one piece of work: some 200 MB of columns and features."""


def build_graphs(
    rows: RecordArray, state: GraphState, directory: InstrumentDirectory, config: GraphConfig
) -> tuple[GraphRun | None, GraphState]:
    """Build the snapshots of complete windows. Pure.

    Parameters
    ----------
    rows
        Rows of `WINDOW_ROW_DTYPE` by (ts_close, instrument_id), every instrument of each window, as
        `WindowBarrier.take` hands them over; windows with ts_close <= state.frontier_ns are dropped.
    state
        Of the windows before.
    directory
        Names, sectors and announced relations.
    config
        What determines a snapshot.

    Returns
    -------
    The run, None if no window is new, and the state after it.

    Raises
    ------
    UnknownInstrumentError
        An instrument that ticked was never announced.
    WindowRunError
        A row holds no possible window.
    """
    rows = rows[np.searchsorted(rows["ts_close"], state.frontier_ns, side="right") :]
    if not len(rows):
        return None, state
    instrument_ids = state.instruments_with(rows["instrument_id"])
    symbols = _symbols(instrument_ids, directory)
    new = state.grown(instrument_ids)
    columns = _columns(rows, instrument_ids)
    mask = columns.mask
    previous = last_close_before(columns.close, mask, new.last_close)
    try:
        raw = raw_features(columns, previous, config.size_ns)
    except FeatureError as error:
        raise WindowRunError(f"rows of closed windows: {error}") from error
    features = normalize(raw, mask)
    relations = config.relations(directory)
    shape = (*mask.shape, sum(width for _, width in relations))
    neighbors, weights = np.empty(shape, np.int32), np.empty(shape, np.float32)
    roll_relations(
        features[..., FEATURE_NAMES.index("return_close")].astype(np.float64),
        mask & (previous != UNDEF_PRICE),
        mask,
        instrument_ids,
        state.seq,
        new.returns,
        config.correlation_windows,
        config.correlation_stride,
        new.correlated,
        new.correlated_weights,
        config.lead_windows,
        config.lead_stride,
        leader_workspace(config.lead_windows, len(instrument_ids)),
        new.leading,
        new.leading_weights,
        neighbors,
        weights,
    )
    first = config.neighbors + config.lead_neighbors
    for _, edges in sorted(directory.edges.items()):
        place_every_window(*edges.positions(instrument_ids), mask, first, neighbors, weights)
        first += edges.width
    run = GraphRun(
        universe=config.universe,
        seq=state.seq,
        size_ns=config.size_ns,
        instrument_ids=instrument_ids,
        symbols=symbols,
        sector=np.array([directory.sectors.get(i, -1) for i in instrument_ids.tolist()], np.int16),
        ts_close=columns.ts_close,
        mask=mask,
        features=features,
        close=np.where(mask, columns.close, UNDEF_PRICE),
        neighbors=neighbors,
        neighbor_weights=weights,
        relations=relations,
        feature_names=FEATURE_NAMES,
    )
    return run, replace(
        new,
        ts_close=int(columns.ts_close[-1]),
        frontier_ns=int(columns.ts_close[-1]),
        seq=state.seq + len(columns.ts_close),
        last_close=np.where(mask[-1], columns.close[-1], previous[-1]),
    )


def iter_graphs(
    rows: RecordArray,
    state: GraphState,
    directory: InstrumentDirectory,
    config: GraphConfig,
    *,
    max_cells: int = MAX_CELLS,
) -> Iterator[tuple[GraphRun, GraphState]]:
    """Build the snapshots of any number of complete windows, in pieces of `max_cells` windows x instruments.

    Other arguments and errors as in `build_graphs`; each run comes with the state after it.
    """
    starts = np.flatnonzero(np.diff(rows["ts_close"], prepend=-1))
    n_instruments = len(state.instruments_with(rows["instrument_id"]))
    step = max(1, max_cells // max(1, n_instruments))
    for first in range(0, len(starts), step):
        end = starts[first + step] if first + step < len(starts) else len(rows)
        run, state = build_graphs(rows[starts[first] : end], state, directory, config)
        if run is not None:
            yield run, state


def snapshots_of(run: GraphRun) -> Snapshots:
    """Return what a model takes of a run, as views."""
    return Snapshots(
        features=run.features,
        mask=run.mask,
        sector=run.sector,
        neighbors=run.neighbors,
        neighbor_weights=run.neighbor_weights,
        relations=run.relations,
    )


def _symbols(instrument_ids: UInt32Array, directory: InstrumentDirectory) -> tuple[str, ...]:
    ids = instrument_ids.tolist()
    if not directory.symbols.keys() >= set(ids):
        unknown = tuple(i for i in ids if i not in directory.symbols)
        raise UnknownInstrumentError(
            f"instruments {', '.join(map(str, unknown[:5]))} tick but were never announced:"
            " announce every instrument on the instruments topic before its first tick",
            instrument_ids=unknown,
        )
    return tuple(map(directory.symbols.__getitem__, ids))


def _columns(rows: RecordArray, instrument_ids: UInt32Array) -> WindowColumns:
    new_window = np.diff(rows["ts_close"], prepend=-1) != 0
    window = np.cumsum(new_window) - 1
    columns = WindowColumns.zeros(rows["ts_close"][new_window], len(instrument_ids))
    cell = window * len(instrument_ids) + np.searchsorted(instrument_ids, rows["instrument_id"])
    columns.mask.reshape(-1)[cell] = True
    for name in COLUMN_NAMES:
        getattr(columns, name).reshape(-1)[cell] = rows[name]
    return columns
