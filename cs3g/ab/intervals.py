"""Means of per-window series with their bootstrap limits, NaNs left out."""

from __future__ import annotations

import numpy as np

from cs3g.ab.settings import AbSettings
from cs3g_model.evaluation.resampling import Resampling
from topics.types import Float64Array

__all__ = ["Intervals"]

_MIN_VALUES = 3
_PART_CELLS = 4_000_000
"""Draws x windows of a part's mean: a report has some fifty of them, so beyond 2,000 windows they get fewer draws."""


class Intervals:
    """Bounds means; series of one length share their draws, so differences of series are paired. Mutates self.

    Parameters
    ----------
    settings
        Of the bootstrap.
    """

    def __init__(self, settings: AbSettings) -> None:
        self._settings = settings
        self._draws: dict[tuple[int, int], Resampling] = {}

    def of(self, n: int) -> Resampling:
        """Return the draws for series of n windows (> 0)."""
        return self._of(n, self._settings.draws)

    def mean(self, series: Float64Array) -> dict[str, float | None]:
        """Return the mean of a series (W,), and its 95 % limits; None where fewer than three values are finite."""
        finite = series[np.isfinite(series)]
        if len(finite) < _MIN_VALUES:
            return {"mean": None, "lo": None, "hi": None}
        n = len(finite)
        draws = min(self._settings.draws, max(200, _PART_CELLS // n))
        low, high, _ = self._of(n, draws).limits(finite)
        return {"mean": float(finite.mean()), "lo": low, "hi": high}

    def _of(self, n: int, draws: int) -> Resampling:
        if (n, draws) not in self._draws:
            s = self._settings
            self._draws[n, draws] = Resampling.of(n, block=s.block, draws=draws, seed=s.seed)
        return self._draws[n, draws]
