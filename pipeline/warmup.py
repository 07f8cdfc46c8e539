"""Compiles what a worker runs before it joins its group: a compilation in the event loop would stall it for seconds.

A few ticks go through the real path, so nothing that the path needs can be forgotten here. Compiled code is
cached on disk: only the first worker on a machine takes long.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cs3g_model.protocol import StreamingModel
from pipeline import drift
from pipeline.announced_relations import Edges
from pipeline.config import PipelineConfig
from pipeline.graph_config import InstrumentDirectory
from pipeline.offline import score_runs, snapshots_from_ticks
from topics.runs import PredictionRun, TickRun
from topics.tick_builders import bars, quotes, trades
from topics.types import PRICE_SCALE

N_WINDOWS = 3


def warm_up(config: PipelineConfig, model: StreamingModel) -> list[PredictionRun]:
    """Run a few trades, quotes and bars through windows, graphs and a model; return what it predicted."""
    edges = {"related": Edges.from_lists({1: [(2, 1.0)]})}
    directory = InstrumentDirectory(symbols={1: "#1", 2: "#2"}, sectors={1: 0}, edges=edges)
    predictions: list[PredictionRun] = []
    for ticks in _ticks(config.window_size_ns):
        graphs = snapshots_from_ticks([(0, ticks)], directory, config.graph, partitions=1)
        predictions += score_runs(model, graphs)
    return predictions


def warm_up_outcomes() -> None:
    """Run what an outcomes worker measures drift with."""
    codes = drift.encode_values(np.ones((3, 2, 1)), np.ones((3, 2), np.bool_))
    drift.observe(codes, drift.DriftState.initial(1), reference_windows=1, recent_windows=2)


def _ticks(size_ns: int) -> Iterator[TickRun]:
    """Yield runs of each kind of record: two instruments, one tick a window each."""
    instrument_id = np.tile(np.array([1, 2], np.uint32), N_WINDOWS)
    ts_event = np.repeat(np.arange(1, N_WINDOWS + 1, dtype=np.int64) * size_ns, 2)
    price = (100 + np.arange(2 * N_WINDOWS)) * PRICE_SCALE
    yield trades(instrument_id=instrument_id, ts_event=ts_event, price=price, size=1)
    yield quotes(
        instrument_id=instrument_id,
        ts_event=ts_event,
        bid_price=price - PRICE_SCALE,
        ask_price=price + PRICE_SCALE,
        bid_size=1,
        ask_size=2,
    )
    # Of the schema whose bars fit any window; all bars share one kernel.
    yield bars(
        instrument_id=instrument_id,
        ts_event=ts_event,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=1,
        schema="ohlcv-1s",
    )
