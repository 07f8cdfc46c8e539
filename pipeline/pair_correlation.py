"""Pearson correlation of many pairs from their sums."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from cs3g_model.jit import kernel
from topics.types import Float64Array

UNDEFINED: Final = 2.0
"""Stands for no correlation: too little is shared, or a series is constant."""

_VARIANCE_FLOOR: Final = 1e-12  # relative: what rounding leaves of a constant series' variance


@kernel
def pair_correlations(
    number: Float64Array,
    sum_x: Float64Array,
    sum_y: Float64Array,
    sum_xx: Float64Array,
    sum_yy: Float64Array,
    sum_xy: Float64Array,
    least: int,
    correlations: Float64Array,
) -> None:
    """Compute the correlation of every pair.

    Parameters
    ----------
    number, sum_x, sum_y, sum_xx, sum_yy, sum_xy
        (P,) over the snapshots that a pair shares.
    least
        What a pair has to share to have a correlation.
    correlations
        (P,) out, in [-1, 1], `UNDEFINED` where there is none.
    """
    for j in range(len(correlations)):
        n, x, y = number[j], sum_x[j], sum_y[j]
        variance_x = n * sum_xx[j] - x * x
        variance_y = n * sum_yy[j] - y * y
        correlation = (n * sum_xy[j] - x * y) / (math.sqrt(variance_x) * math.sqrt(variance_y))
        defined = (
            (n >= least)
            & (variance_x > _VARIANCE_FLOOR * n * sum_xx[j])
            & (variance_y > _VARIANCE_FLOOR * n * sum_yy[j])
        )
        correlations[j] = min(max(correlation, -1.0), 1.0) if defined else UNDEFINED


@kernel
def sum_rows(values: Float64Array) -> Float64Array:
    """Return the (N,) sums over the rows of (W, N) values, in their order."""
    out = np.zeros(values.shape[1])
    for w in range(values.shape[0]):
        row = values[w]
        for j in range(len(out)):
            out[j] += row[j]
    return out
