"""Which of several models cannot be told from the best: the model confidence set of Hansen, Lunde & Nason (2011)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cs3g_model.errors import ConfigError, EvaluationError

__all__ = ["ConfidenceSet", "confidence_set"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ConfidenceSet:
    """The set, and why.

    Attributes
    ----------
    size
        Chance that the best model is left out.
    p_values
        Of each model by name, 1 for the last that stays.
    included
        Models whose p-value is above the size, by p-value.
    """

    size: float
    p_values: dict[str, float]
    included: tuple[str, ...]


def confidence_set(
    losses: Mapping[str, FloatArray],
    *,
    size: float = 0.10,
    block: float = 10.0,
    draws: int = 2000,
    seed: int = 0,
) -> ConfidenceSet:
    """Eliminate models one by one while the worst is significantly worse than another (statistic T_R of arch).

    Parameters
    ----------
    losses
        (W,) loss of each model by name, paired by window. Models of equal losses stand or fall together.
    size
        Level of the tests.
    block, draws, seed
        Of the stationary bootstrap; a fractional block is rounded, arch takes whole ones.

    Raises
    ------
    ConfigError
        If the size is not in (0, 1).
    EvaluationError
        If there are fewer than two models, or their series differ in length.
    """
    from arch.bootstrap import MCS

    if not 0 < size < 1:
        raise ConfigError(f"`size` (={size}) must be in (0, 1)")
    names = list(losses)
    if len(names) < 2 or len({len(series) for series in losses.values()}) != 1:
        raise EvaluationError(f"`losses` must be of two models or more on the same windows, were of {names}")
    # The difference of equal series has no variance to divide by: keep one of each.
    table, column = np.unique(np.stack([losses[name] for name in names]), axis=0, return_inverse=True)
    found = np.ones(len(table))
    if len(table) > 1:
        test = MCS(
            table.T,
            size,
            reps=draws,
            block_size=max(1, round(block)),
            method="R",
            bootstrap="stationary",
            seed=seed,
        )
        test.compute()
        found[test.pvalues.index.to_numpy(np.int64)] = test.pvalues["Pvalue"].to_numpy(np.float64)
    p_values = {name: float(found[i]) for name, i in zip(names, column.ravel(), strict=True)}
    included = sorted((name for name in names if p_values[name] > size), key=lambda name: -p_values[name])
    return ConfidenceSet(size, p_values, tuple(included))
