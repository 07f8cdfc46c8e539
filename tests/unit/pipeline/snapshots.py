"""Graph runs for the pipeline's tests, built by the pipeline itself from random trades."""

from __future__ import annotations

import numpy as np

from pipeline.graph_config import GraphConfig, InstrumentDirectory
from pipeline.offline import join_graph_runs, snapshots_from_ticks
from tests.unit.pipeline.ticks import SECOND, SIZE, START
from topics import tick_builders
from topics.runs import GraphRun, TickRun

CONFIG = GraphConfig(
    "u",
    SIZE,
    neighbors=2,
    correlation_windows=4,
    correlation_stride=3,
    lead_neighbors=3,
    lead_windows=8,
    lead_stride=2,
)
DIRECTORY = InstrumentDirectory({i: f"S{i}" for i in range(1, 50)}, {1: 0, 2: 1})


def random_trades(n: int = 200, instruments: int = 5, seconds: int = 300, seed: int = 0) -> TickRun:
    rng = np.random.default_rng(seed)
    return tick_builders.trades(
        instrument_id=rng.integers(1, instruments + 1, n),
        ts_event=START + np.sort(rng.integers(0, seconds, n)) * SECOND,
        price=rng.integers(90, 110, n) * SECOND,
        size=rng.integers(1, 9, n),
        side=rng.choice([b"A", b"B", b"N"], n),
    )


def graph_run(seed: int = 0) -> GraphRun:
    return join_graph_runs(
        snapshots_from_ticks([(0, random_trades(seed=seed))], DIRECTORY, CONFIG, partitions=1)
    )
