"""Stationary block bootstrap of per-window series; series of the same windows share their draws, so they are paired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model.errors import ConfigError
from cs3g_model.metrics import stationary_indices

__all__ = ["Resampling"]

MAX_CELLS: Final = 20_000_000
"""Draws x windows that are held at once; longer series get fewer draws, but at least 200."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Resampling:
    """Draws for series of W windows.

    Attributes
    ----------
    indices
        (draws, W) int64.
    block
        Mean length of a block in windows.
    """

    indices: NDArray[np.int64]
    block: float

    @classmethod
    def of(cls, n: int, *, block: float = 10.0, draws: int = 2000, seed: int = 0) -> Resampling:
        """Draw for series of n windows: the very draws of the protocol for the defaults and n <= 10,000.

        Raises
        ------
        ConfigError
            If the block is shorter than a window, or there is no draw.
        """
        if block < 1 or draws < 1:
            raise ConfigError(f"`block` (={block}) and `draws` (={draws}) must be at least 1")
        draws = min(draws, max(200, MAX_CELLS // max(1, n)))
        return cls(stationary_indices(n, block=block, draws=draws, seed=seed), block)

    def means(self, series: FloatArray) -> FloatArray:
        """Return the mean of each resample, (draws,), of a series (W,)."""
        drawn: FloatArray = series[self.indices].mean(axis=1)
        return drawn

    def ratios(self, series: FloatArray) -> FloatArray:
        """Return mean / standard deviation (ddof 1) of each resample, (draws,); 0 where it does not vary."""
        drawn = series[self.indices]
        deviation = drawn.std(axis=1, ddof=1)
        ratios: FloatArray = np.zeros(len(drawn))
        np.divide(drawn.mean(axis=1), deviation, out=ratios, where=deviation > 0)
        return ratios

    def limits(self, series: FloatArray, level: float = 0.95) -> tuple[float, float, float]:
        """Return the percentile limits of the mean, and the share of means that are not above zero."""
        means = self.means(series)
        tail = (1.0 - level) / 2.0
        return (
            float(np.quantile(means, tail)),
            float(np.quantile(means, 1.0 - tail)),
            float((means <= 0).mean()),
        )
