"""Each instrument's most correlated others, by the returns of the last W snapshots.

A pair is correlated over the snapshots in which both have a return, and has to have half of W in common.
Sums run over the snapshots in a fixed order for each pair on its own: instruments that come later change no
bit of the pairs before. Cost: N^2 W / 2 multiply-adds, and five times that more where series have gaps.
"""

from __future__ import annotations

import numpy as np

from cs3g_model.jit import kernel
from pipeline.neighbor_slots import insert_neighbor
from pipeline.pair_correlation import UNDEFINED, pair_correlations, sum_rows
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
    squares = returns * returns
    number, total, total_squares = sum_rows(present), sum_rows(returns), sum_rows(squares)
    has_gaps = number.min() < depth
    sums, line = np.empty((6, 2, instruments)), np.empty(instruments)
    n, sx, sxx, sy, syy, sxy = sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]
    best = np.full((instruments, width), -1.0)  # |correlation|, descending
    weakest = np.full(instruments, -1.0)
    neighbors[:] = -1
    weights[:] = 0.0
    for first in range(0, instruments, 2):
        second = min(first + 1, instruments - 1)
        x, x_there, xx = returns[:, first], present[:, first], squares[:, first]
        z, z_there, zz = returns[:, second], present[:, second], squares[:, second]
        _sum_products(x, z, returns, first, sxy)
        if has_gaps:
            _sum_products(x_there, z_there, present, first, n)
            _sum_products(x, z, present, first, sx)
            _sum_products(xx, zz, present, first, sxx)
        if min(number[first], number[second]) < depth:
            _sum_products(x_there, z_there, returns, first, sy)
            _sum_products(x_there, z_there, squares, first, syy)
        else:  # to the same bits
            sy[:] = total
            syy[:] = total_squares
        for i in range(first, second + 1):
            own = i - first
            if not has_gaps:  # to the same bits
                n[own] = number[i]
                sx[own] = total[i]
                sxx[own] = total_squares[i]
            row = line[i + 1 :]
            pair_correlations(
                n[own, i + 1 :], sx[own, i + 1 :], sy[own, i + 1 :], sxx[own, i + 1 :], syy[own, i + 1 :],
                sxy[own, i + 1 :], least, row,
            )  # fmt: skip
            for j in range(i + 1, instruments):
                correlation = line[j]
                if correlation == UNDEFINED:
                    continue
                if abs(correlation) > weakest[i]:
                    weakest[i] = insert_neighbor(best[i], neighbors[i], weights[i], j, correlation)
                if abs(correlation) > weakest[j]:
                    weakest[j] = insert_neighbor(best[j], neighbors[j], weights[j], i, correlation)


@kernel
def _sum_products(x: Float64Array, z: Float64Array, y: Float64Array, first: int, sums: Float64Array) -> None:
    # Row 0 of sums[:, j] is the sum over w of x[w] y[w, j], row 1 that of z, for every j >= first. What is absent is 0
    # and changes no sum. Every j is a sum of its own in the order of w, so that the loops over j vectorize.
    depth = len(x)
    a, b = sums[0, first:], sums[1, first:]
    a[:] = 0.0
    b[:] = 0.0
    whole = depth // 4 * 4
    for w in range(0, whole, 4):
        x0, x1, x2, x3 = x[w], x[w + 1], x[w + 2], x[w + 3]
        z0, z1, z2, z3 = z[w], z[w + 1], z[w + 2], z[w + 3]
        y0, y1, y2, y3 = y[w, first:], y[w + 1, first:], y[w + 2, first:], y[w + 3, first:]
        for j in range(len(a)):
            a[j] = (((a[j] + x0 * y0[j]) + x1 * y1[j]) + x2 * y2[j]) + x3 * y3[j]
            b[j] = (((b[j] + z0 * y0[j]) + z1 * y1[j]) + z2 * y2[j]) + z3 * y3[j]
    for w in range(whole, depth):
        row = y[w, first:]
        for j in range(len(a)):
            a[j] += x[w] * row[j]
            b[j] += z[w] * row[j]
