"""Small panels, and sections made by hand."""

from __future__ import annotations

import numpy as np

from cs3g_model.evaluation.calendar import DAY_NS
from cs3g_model.evaluation.panel import CrossSections, MarketPanel


def make_panel(T: int = 60, N: int = 12, seed: int = 0, step_ns: int = DAY_NS) -> MarketPanel:
    g = np.random.default_rng(seed)
    prices = 50 * np.exp(np.cumsum(0.02 * g.standard_normal((T, N)), axis=0))
    starts = 18_000 * DAY_NS + step_ns * np.arange(T, dtype=np.int64)
    return MarketPanel(starts, tuple(f"S{n:02d}" for n in range(N)), prices)


def make_sections(
    labels: list[list[float]] | np.ndarray,
    scored: list[list[int]] | np.ndarray | None = None,
    tradable: list[list[int]] | np.ndarray | None = None,
) -> CrossSections:
    values = np.asarray(labels, np.float64)
    here = np.ones(values.shape, np.bool_) if scored is None else np.asarray(scored, np.bool_)
    windows = np.arange(len(values), dtype=np.int64) + 16
    return CrossSections(
        windows=windows,
        starts_ns=(18_000 + windows) * DAY_NS,
        symbols=tuple(f"S{n:02d}" for n in range(values.shape[1])),
        labels=np.where(here, values, np.nan),
        scored=here,
        tradable=here if tradable is None else np.asarray(tradable, np.bool_),
        windows_a_year=252.0,
        horizon=1,
        min_names=2,
    )
