"""Rolling correlation of returns, and each instrument's most correlated neighbors.

The last W snapshots' returns stand in a ring of rows seq mod W; every `stride` snapshots, counted by seq,
the correlations are computed anew from the ring. So neither a cut nor a restart moves them. A pair is
correlated over the windows in which both have a return, and has to have half of W in common.

Sums run over the ring's rows in a fixed order for each pair on its own: instruments that come later change
no bit of the pairs before. Cost of a refresh: N^2 W / 2 multiply-adds.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from cs3g_model.jit import kernel
from topics.types import BoolArray, Float32Array, Float64Array, Int32Array

_VARIANCE_FLOOR: Final = 1e-12  # relative: what rounding leaves of a constant series' variance
_UNDEFINED: Final = 2.0


@kernel
def roll_neighbors(
    returns: Float64Array,
    valid: BoolArray,
    mask: BoolArray,
    seq: int,
    stride: int,
    ring: Float64Array,
    ring_valid: BoolArray,
    current: Int32Array,
    current_weights: Float32Array,
    neighbors: Int32Array,
    weights: Float32Array,
) -> None:
    """Enter T windows of returns and give every window its neighbors.

    Parameters
    ----------
    returns, valid
        (T, N) simple returns, and whether there is one.
    mask
        (T, N) whether the instrument is present; neighbors of a window are present in it.
    seq
        Index of the first window in the universe's sequence.
    stride
        Windows between two refreshes.
    ring, ring_valid
        (W, N) the last returns; updated in place.
    current, current_weights
        (N, K) the last refresh's neighbors by descending |correlation|, -1 for none; updated in place.
    neighbors, weights
        (T, N, K) out.
    """
    windows, instruments = mask.shape
    width = current.shape[1]
    for t in range(windows):
        row = (seq + t) % ring.shape[0]
        for n in range(instruments):
            ring[row, n] = returns[t, n] if valid[t, n] else 0.0
            ring_valid[row, n] = valid[t, n]
        if width > 0 and (seq + t) % stride == 0:
            correlate(ring, ring_valid, current, current_weights)
        for n in range(instruments):
            kept = 0
            if mask[t, n]:
                for k in range(width):
                    other = current[n, k]
                    if other >= 0 and mask[t, other]:
                        neighbors[t, n, kept] = other
                        weights[t, n, kept] = current_weights[n, k]
                        kept += 1
            for k in range(kept, width):
                neighbors[t, n, k] = -1
                weights[t, n, k] = 0.0


@kernel
def correlate(
    ring: Float64Array, ring_valid: BoolArray, neighbors: Int32Array, weights: Float32Array
) -> None:
    """Find the K most correlated others of every instrument, ties by the lower index.

    Parameters
    ----------
    ring, ring_valid
        (W, N) returns, 0 where there is none, and whether there is one.
    neighbors, weights
        (N, K) out; -1 and 0 where fewer have a correlation.
    """
    depth, instruments = ring.shape
    width = neighbors.shape[1]
    least = max((depth + 1) // 2, 2)
    present = np.zeros((depth, instruments), np.float64)
    for w in range(depth):
        for n in range(instruments):
            present[w, n] = 1.0 if ring_valid[w, n] else 0.0
    sums = np.empty((6, instruments), np.float64)
    row = np.empty(instruments, np.float64)
    best = np.full((instruments, width), -1.0)  # |correlation|, descending
    weakest = np.full(instruments, -1.0)
    neighbors[:] = -1
    weights[:] = 0.0
    for i in range(instruments):
        _pair_sums(ring, present, i, sums)
        _correlations(sums[:, i + 1 :], least, row)
        for offset in range(instruments - i - 1):
            correlation = row[offset]
            if correlation == _UNDEFINED:
                continue
            j = i + 1 + offset
            if abs(correlation) > weakest[i]:
                weakest[i] = _insert(best[i], neighbors[i], weights[i], j, correlation)
            if abs(correlation) > weakest[j]:
                weakest[j] = _insert(best[j], neighbors[j], weights[j], i, correlation)


@kernel
def _correlations(sums: Float64Array, least: int, row: Float64Array) -> None:
    # _UNDEFINED where too little is shared or a series is constant.
    for j in range(sums.shape[1]):
        n, x, y = sums[0, j], sums[1, j], sums[2, j]
        variance_x = n * sums[3, j] - x * x
        variance_y = n * sums[4, j] - y * y
        correlation = (n * sums[5, j] - x * y) / (math.sqrt(variance_x) * math.sqrt(variance_y))
        defined = (
            (n >= least)
            & (variance_x > _VARIANCE_FLOOR * n * sums[3, j])
            & (variance_y > _VARIANCE_FLOOR * n * sums[4, j])
        )
        row[j] = min(max(correlation, -1.0), 1.0) if defined else _UNDEFINED


@kernel
def _pair_sums(ring: Float64Array, present: Float64Array, i: int, sums: Float64Array) -> None:
    # Over the windows that i and j > i share: their number, then the sums of x, y, xx, yy and xy.
    sums[:, i + 1 :] = 0.0
    n, sx, sy = sums[0, i + 1 :], sums[1, i + 1 :], sums[2, i + 1 :]
    sxx, syy, sxy = sums[3, i + 1 :], sums[4, i + 1 :], sums[5, i + 1 :]
    for w in range(ring.shape[0]):
        if present[w, i] == 0.0:
            continue
        x = ring[w, i]
        xx = x * x
        y, here = ring[w, i + 1 :], present[w, i + 1 :]
        # Every j is a sum of its own, so these loops vectorize without a change of order.
        for j in range(len(y)):
            n[j] += here[j]
            sx[j] += here[j] * x
            sxx[j] += here[j] * xx
        for j in range(len(y)):
            sy[j] += y[j]
            syy[j] += y[j] * y[j]
            sxy[j] += x * y[j]


@kernel
def _insert(
    best: Float64Array, neighbors: Int32Array, weights: Float32Array, other: int, correlation: float
) -> float:
    # Others come in ascending order of index, so that a tie leaves the earlier one in front.
    # Returns what the next one has to exceed.
    strength = abs(correlation)
    last = len(best) - 1
    place = last
    while place > 0 and best[place - 1] < strength:
        best[place] = best[place - 1]
        neighbors[place] = neighbors[place - 1]
        weights[place] = weights[place - 1]
        place -= 1
    best[place] = strength
    neighbors[place] = other
    weights[place] = correlation
    return float(best[last])
