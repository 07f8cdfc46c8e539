"""How long a model's step takes on the history's last windows, the models taking turns in this process."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from cs3g_model.protocol import StreamingModel
from pipeline.graphs import snapshots_of
from topics.cuts import slice_graphs
from topics.runs import GraphRun

__all__ = ["latency_values", "median_ms", "step_times_ms"]

STEPS: Final = 120
_WARM: Final = 10
_PERCENTILES: Final = (50, 90, 99)


def step_times_ms(runtimes: Mapping[str, StreamingModel], snapshots: GraphRun) -> dict[str, list[float]]:
    """Time single steps in ms, by model; the first ten, which warm up, are left out where there are others.

    Parameters
    ----------
    runtimes
        Models by name.
    snapshots
        The last 130 windows are used.
    """
    n_windows = len(snapshots.ts_close)
    whole = snapshots_of(slice_graphs(snapshots, max(0, n_windows - STEPS - _WARM), n_windows))
    states = {name: model.initial_state(whole.mask.shape[1]) for name, model in runtimes.items()}
    times: dict[str, list[float]] = {name: [] for name in runtimes}
    for t in range(len(whole.mask)):
        window = whole.window(t, t + 1)
        for name, model in runtimes.items():
            began = time.perf_counter()
            _, states[name] = model.step(window, states[name])
            times[name].append((time.perf_counter() - began) * 1e3)
    return {name: found[_WARM:] or found for name, found in times.items()}


def median_ms(latencies_ms: Sequence[float]) -> float | None:
    """Return the median of latencies, None where there are none."""
    return float(np.median(latencies_ms)) if len(latencies_ms) else None


def latency_values(times_ms: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return count, percentiles and the times themselves, ms to a tenth of a microsecond, by model."""
    return {
        name: {
            "steps": len(times),
            **{f"p{p}_ms": round(float(np.percentile(times, p)), 4) for p in _PERCENTILES},
            "times_ms": [round(value, 4) for value in times],
        }
        for name, times in times_ms.items()
        if len(times)
    }
