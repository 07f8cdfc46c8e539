"""Each instrument's most correlated others, by the returns of the last W snapshots.

A pair is correlated over the snapshots in which both have a return, and has to have half of W in common.
Sums run over the snapshots in a fixed order for each pair on its own: instruments that come later change no
bit of the pairs before. Cost: N^2 W / 2 multiply-adds of six sums.
"""

from __future__ import annotations

import numpy as np

from cs3g_model.jit import kernel
from pipeline.neighbor_slots import insert_neighbor
from pipeline.pair_correlation import UNDEFINED, pair_correlations
from topics.types import Float32Array, Float64Array, Int32Array


@kernel
def correlate(
    returns: Float64Array, present: Float64Array, neighbors: Int32Array, weights: Float32Array
) -> None:
    """Find the K most correlated others of every instrument, ties by the lower index.

    Parameters
    ----------
    returns, present
        (W, N) returns, 0 where there is none, and 1 or 0.
    neighbors, weights
        (N, K) out; -1 and 0 where fewer have a correlation.
    """
    depth, instruments = returns.shape
    width = neighbors.shape[1]
    least = max((depth + 1) // 2, 2)
    sums, row = np.empty((6, instruments)), np.empty(instruments)
    best = np.full((instruments, width), -1.0)  # |correlation|, descending
    weakest = np.full(instruments, -1.0)
    neighbors[:] = -1
    weights[:] = 0.0
    for i in range(instruments):
        _pair_sums(returns, present, i, sums)
        n, sx, sy, sxx, syy, sxy = sums[:, i + 1 :]
        pair_correlations(n, sx, sy, sxx, syy, sxy, least, row[i + 1 :])
        for j in range(i + 1, instruments):
            correlation = row[j]
            if correlation == UNDEFINED:
                continue
            if abs(correlation) > weakest[i]:
                weakest[i] = insert_neighbor(best[i], neighbors[i], weights[i], j, correlation)
            if abs(correlation) > weakest[j]:
                weakest[j] = insert_neighbor(best[j], neighbors[j], weights[j], i, correlation)


@kernel
def _pair_sums(returns: Float64Array, present: Float64Array, i: int, sums: Float64Array) -> None:
    # Over the snapshots that i and j > i share: their number, then the sums of x, y, xx, yy and xy.
    sums[:, i + 1 :] = 0.0
    n, sx, sy = sums[0, i + 1 :], sums[1, i + 1 :], sums[2, i + 1 :]
    sxx, syy, sxy = sums[3, i + 1 :], sums[4, i + 1 :], sums[5, i + 1 :]
    for w in range(returns.shape[0]):
        if present[w, i] == 0.0:
            continue
        x = returns[w, i]
        xx = x * x
        y, here = returns[w, i + 1 :], present[w, i + 1 :]
        # Every j is a sum of its own, so these loops vectorize without a change of order.
        for j in range(len(y)):
            n[j] += here[j]
            sx[j] += here[j] * x
            sxx[j] += here[j] * xx
        for j in range(len(y)):
            sy[j] += y[j]
            syy[j] += y[j] * y[j]
            sxy[j] += x * y[j]
