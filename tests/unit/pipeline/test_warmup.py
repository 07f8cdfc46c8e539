"""Warming up runs the real path: all that it would compile later, it compiles now."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

from cs3g.models import load_model
from pipeline.config import load_config
from pipeline.graph_config import InstrumentDirectory
from pipeline.offline import partition_ticks, score_runs, snapshots_from_ticks
from pipeline.warmup import N_WINDOWS, warm_up
from topics.tick_builders import trades


@pytest.mark.parametrize("window", ["1s", "1d"])
def test_every_kind_of_record_is_predicted(window: str) -> None:
    config = load_config(window_size_ns=window)
    runs = warm_up(config, load_model(config, "student"))
    assert [len(run.ts_close) for run in runs] == [N_WINDOWS] * 3
    assert all(np.isfinite(run.scores).all() and run.mask.all() for run in runs)


def test_nothing_is_left_to_compile_for_other_ticks() -> None:
    config = load_config()
    model = load_model(config, "student")
    warm_up(config, model)
    before = _signatures()
    generator = np.random.default_rng(3)
    ids = generator.integers(1, 8, 500)
    ticks = trades(
        instrument_id=ids,
        ts_event=np.sort(generator.integers(0, 40 * config.window_size_ns, 500)),
        price=generator.integers(1, 10**12, 500),
        size=generator.integers(1, 99, 500),
    )
    directory = InstrumentDirectory(symbols={n: f"#{n}" for n in range(1, 8)}, sectors={})
    graphs = snapshots_from_ticks(partition_ticks(ticks, 4), directory, config.graph, partitions=4)
    assert sum(len(run.ts_close) for run in score_runs(model, graphs)) > 30
    assert _signatures() == before


def _signatures() -> dict[str, int]:
    """Count the compiled signatures of every kernel of ours."""
    return {
        f"{name}.{attribute}": len(value.signatures)
        for name, module in sys.modules.items()
        if name.startswith(("pipeline.", "cs3g_model."))
        for attribute, value in vars(module).items()
        if isinstance(value, Dispatcher)
    }
