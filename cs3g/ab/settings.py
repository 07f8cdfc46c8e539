"""What the statistics of a comparison are told; part of every report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cs3g_model.evaluation.comparison import MARGIN
from cs3g_model.evaluation.panel import HISTORY
from cs3g_model.evaluation.report import Settings

__all__ = ["MIN_WINDOWS", "AbSettings"]

MIN_WINDOWS: Final = 10
"""Fewest windows that a comparison is made on: below, its intervals would mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AbSettings:
    """Of the statistics.

    Attributes
    ----------
    margin
        Mean rank IC within which two models count as equivalent (> 0).
    history
        Windows without a gap that an instrument needs before it is judged (>= 1).
    block, draws, seed
        Of the stationary bootstrap; blocks in windows.
    set_size
        Chance that the model confidence set leaves the best model out.
    """

    margin: float = MARGIN
    history: int = HISTORY
    block: float = 10.0
    draws: int = 2000
    seed: int = 0
    set_size: float = 0.10

    def evaluation(self) -> Settings:
        """Return what the evaluation is told."""
        return Settings(self.margin, self.block, self.draws, self.seed, self.set_size)
