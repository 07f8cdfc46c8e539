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
from cs3g_model.window_columns import last_close_before
from pipeline.errors import WindowRunError
from pipeline.graph_config import GraphConfig, InstrumentDirectory
from pipeline.graph_preparation import Axis, Preparation
from pipeline.graph_state import GraphState
from pipeline.lead_lag_sums import leader_workspace
from pipeline.neighbor_slots import place_every_window
from pipeline.rolling_relations import roll_relations
from pipeline.row_columns import columns_of_rows
from topics.runs import GraphRun
from topics.types import UNDEF_PRICE, RecordArray

MAX_CELLS: Final = 2**19
"""Windows x instruments that are worth one piece of work: some 200 MB of columns and features."""


def build_graphs(
    rows: RecordArray,
    state: GraphState,
    directory: InstrumentDirectory,
    config: GraphConfig,
    prepared: Preparation | None = None,
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
    prepared
        From `prepare`; used where it suits, and nothing depends on it but the time that this takes.

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
    if prepared is None or not prepared.suits(state, directory, instrument_ids):
        prepared = None
    axis = Axis.of(instrument_ids, directory) if prepared is None else prepared.axis
    begun = None if prepared is None else prepared.work
    new = state.grown(instrument_ids)
    columns = columns_of_rows(rows, instrument_ids)
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
        begun is not None,
        leader_workspace(config.lead_windows, len(instrument_ids)) if begun is None else begun,
        new.leading,
        new.leading_weights,
        neighbors,
        weights,
    )
    first = config.neighbors + config.lead_neighbors
    for candidates, candidate_weights in axis.edges:
        place_every_window(candidates, candidate_weights, mask, first, neighbors, weights)
        first += candidates.shape[1]
    run = GraphRun(
        universe=config.universe,
        seq=state.seq,
        size_ns=config.size_ns,
        instrument_ids=instrument_ids,
        symbols=axis.symbols,
        sector=axis.sector,
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
    prepared: Preparation | None = None,
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
        run, state = build_graphs(rows[starts[first] : end], state, directory, config, prepared)
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
