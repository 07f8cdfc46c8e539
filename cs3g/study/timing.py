"""How long a model's step takes, the study's models taking turns in one process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import numpy as np

from cs3g.panel_data import PanelFile
from cs3g_model.artifacts import load_runtime
from pipeline.graphs import snapshots_of

__all__ = ["step_times_ms"]

_STEPS: Final = 40
_WARM: Final = 10


def step_times_ms(panel: PanelFile, models: dict[str, Path]) -> dict[str, float]:
    """Time single steps over the panel's last windows; the median of 40 in ms, by name, after 10 to warm up."""
    whole = snapshots_of(panel.graph_run())
    first = max(0, len(whole.mask) - _STEPS - _WARM)
    runtimes = {name: load_runtime(path) for name, path in models.items()}
    states = {name: model.initial_state(whole.mask.shape[1]) for name, model in runtimes.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for t in range(first, len(whole.mask)):
        window = whole.window(t, t + 1)
        for name, model in runtimes.items():
            began = time.perf_counter()
            _, states[name] = model.step(window, states[name])
            seconds[name].append(time.perf_counter() - began)
    return {name: float(np.median(found[_WARM:] or found)) * 1e3 for name, found in seconds.items()}
