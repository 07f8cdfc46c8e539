"""Means of per-window series with their bootstrap limits, NaNs left out."""

from __future__ import annotations

import numpy as np

from cs3g.ab.settings import AbSettings
from cs3g_model.evaluation.resampling import Resampling
from topics.types import Float64Array

__all__ = ["Intervals"]

_MIN_VALUES = 3


class Intervals:
    """Bounds means; series of one length share their draws, so differences of series are paired. Mutates self.

    Parameters
    ----------
    settings
        Of the bootstrap.
    """

    def __init__(self, settings: AbSettings) -> None:
        self._settings = settings
        self._draws: dict[int, Resampling] = {}

    def of(self, n: int) -> Resampling:
        """Return the draws for series of n windows (> 0)."""
        if n not in self._draws:
            s = self._settings
            self._draws[n] = Resampling.of(n, block=s.block, draws=s.draws, seed=s.seed)
        return self._draws[n]

    def mean(self, series: Float64Array) -> dict[str, float | None]:
        """Return the mean of a series (W,), and its 95 % limits; None where fewer than three values are finite."""
        finite = series[np.isfinite(series)]
        if len(finite) < _MIN_VALUES:
            return {"mean": None, "lo": None, "hi": None}
        low, high, _ = self.of(len(finite)).limits(finite)
        return {"mean": float(finite.mean()), "lo": low, "hi": high}
