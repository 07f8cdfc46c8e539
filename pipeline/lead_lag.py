"""Who leads whom: the correlation of an instrument's return with others' returns one snapshot before.

Pairs (x, y) are of the returns r_i[t] and r_j[t - 1] of consecutive snapshots up to the present one, at most W
of them; whether there is a return is per instrument, so a pair counts the snapshots where both are there. It
has to have half of those that the universe's sequence has had so far, of at most W, and 32 or half of W at
least: edges appear from the 34th snapshot on, and an instrument that came late leads nobody on a few lucky
returns.

Every pair is summed in a fixed order that hangs on its own returns and the snapshot's index only, so neither
a cut nor an instrument that comes later moves a bit. Series without gaps share all but the sum of products:
D destinations then cost D N W multiply-adds, and three times that more for sources with gaps, twice for
destinations with gaps.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from cs3g_model.jit import kernel
from pipeline.neighbor_slots import insert_neighbor
from pipeline.pair_correlation import UNDEFINED, pair_correlations, sum_rows
from pipeline.returns_ring import recent_returns, series_of
from topics.types import Float32Array, Float64Array, Int32Array

_FEWEST_PAIRS: Final = 32
_UNROLLED: Final = 4
_TILE: Final = 256  # sources at a time: their returns stay in the cache for all destinations
_BLOCK: Final = 16  # destinations whose sums are held at a time


def leader_workspace(windows: int, instruments: int) -> Float64Array:
    """Return the scratch memory of `find_leaders`, to be used again: fresh pages would cost as much as the sums."""
    return np.empty((5 * (windows + _UNROLLED) + 6 * _BLOCK, instruments))


@kernel
def find_leaders(
    ring: Float32Array,
    seq: int,
    windows: int,
    destinations: Int32Array,
    work: Float64Array,
    neighbors: Int32Array,
    weights: Float32Array,
) -> None:
    """Find the K others whose returns of a snapshot before are most correlated with each destination's.

    Parameters
    ----------
    ring
        (> windows, N) returns, see `pipeline.returns_ring`.
    seq
        Index of the newest snapshot in the universe's sequence.
    windows
        W, the most pairs that are looked back on.
    destinations
        (D,) indices of the instruments to do.
    work
        From `leader_workspace`; holds nothing between calls.
    neighbors, weights
        (N, K) out, by descending |correlation|, ties by the lower index; only the destinations' rows are
        written, -1 and 0 where fewer have a correlation.
    """
    # The first snapshot has no returns, so the first pair is of the second and third.
    pairs = max(min(windows, seq - 1), 0)
    least = max((pairs + 1) // 2, min(_FEWEST_PAIRS, (windows + 1) // 2), 2)
    if pairs < least or len(destinations) == 0:
        return
    instruments = ring.shape[1]
    rows = (pairs + _UNROLLED - 1) // _UNROLLED * _UNROLLED  # those beyond the pairs are 0
    values, present = work[:rows], work[rows : 2 * rows]
    recent_returns(ring, seq - 1, pairs, values, present)
    count = sum_rows(present)
    sources, n_whole = _order_by_gaps(count, pairs, least)
    n_used = len(sources)
    newest = ring[seq % ring.shape[0]]
    later = np.empty(len(destinations))
    for d in range(len(destinations)):
        i = destinations[d]
        neighbors[i] = -1
        weights[i] = 0.0
        later[d] = count[i] - present[0, i] + (0.0 if math.isnan(newest[i]) else 1.0)
    chosen, _ = _order_by_gaps(later, pairs, least)

    y, y_there, yy = values, present, work[4 * rows : 5 * rows]
    if n_whole < instruments:
        y, y_there = work[2 * rows : 3 * rows], work[3 * rows : 4 * rows]
        for w in range(rows):
            for s in range(n_used):
                y[w, s] = values[w, sources[s]]
                y_there[w, s] = present[w, sources[s]]
    for w in range(rows):
        for s in range(n_used):
            yy[w, s] = y[w, s] * y[w, s]
    whole, whole_y, whole_yy = np.ones((2, rows)), np.empty((2, instruments)), np.empty((2, instruments))
    _sum_products(whole, y, 2, 0, n_used, whole_y)
    _sum_products(whole, yy, 2, 0, n_used, whole_yy)
    sums = work[len(work) - 6 * _BLOCK :]
    n, sx, sy = sums[:_BLOCK], sums[_BLOCK : 2 * _BLOCK], sums[2 * _BLOCK : 3 * _BLOCK]
    sxx, syy, sxy = sums[3 * _BLOCK : 4 * _BLOCK], sums[4 * _BLOCK : 5 * _BLOCK], sums[5 * _BLOCK :]
    x, x_there = np.empty((_BLOCK, rows)), np.empty((_BLOCK, rows))
    line, correlations = np.empty(n_used), np.full(instruments, UNDEFINED)
    for start in range(0, len(chosen), _BLOCK):
        block = destinations[chosen[start : start + _BLOCK]]
        series_of(ring, seq, pairs, block, x, x_there)
        lines = (len(block) + 1) // 2 * 2
        _sum_products(x, y, lines, 0, n_used, sxy)
        _sum_products(x_there, y_there, lines, n_whole, n_used, n)
        _sum_products(x, y_there, lines, n_whole, n_used, sx)
        _sum_products(x * x, y_there, lines, n_whole, n_used, sxx)
        if x_there[: len(block), :pairs].min() == 0.0:
            _sum_products(x_there, y, lines, 0, n_used, sy)
            _sum_products(x_there, yy, lines, 0, n_used, syy)
        else:  # to the same bits
            sy[: len(block)] = whole_y[0]
            syy[: len(block)] = whole_yy[0]
        for d in range(len(block)):
            own, own_x, own_xx = 0.0, 0.0, 0.0
            for w in range(rows):
                own += x_there[d, w]
                own_x += x[d, w]
                own_xx += x[d, w] * x[d, w]
            n[d, :n_whole] = own
            sx[d, :n_whole] = own_x
            sxx[d, :n_whole] = own_xx
            pair_correlations(n[d], sx[d], sy[d], sxx[d], syy[d], sxy[d], least, line)
            for s in range(n_used):
                correlations[sources[s]] = line[s]
            correlations[block[d]] = UNDEFINED
            _keep_strongest(correlations, neighbors[block[d]], weights[block[d]])


@kernel
def _keep_strongest(correlations: Float64Array, neighbors: Int32Array, weights: Float32Array) -> None:
    best = np.full(len(neighbors), -1.0)
    weakest = -1.0
    for j in range(len(correlations)):
        if correlations[j] != UNDEFINED and abs(correlations[j]) > weakest:
            weakest = insert_neighbor(best, neighbors, weights, j, correlations[j])


@kernel
def _order_by_gaps(count: Float64Array, pairs: int, least: int) -> tuple[Int32Array, int]:
    # Series with all their returns, then those with gaps but returns enough; and how many the former are.
    order = np.empty(len(count), np.int32)
    n_whole = 0
    for j in range(len(count)):
        if count[j] == pairs:
            order[n_whole] = j
            n_whole += 1
    n_used = n_whole
    for j in range(len(count)):
        if least <= count[j] < pairs:
            order[n_used] = j
            n_used += 1
    return order[:n_used], n_whole


@kernel
def _sum_products(
    x: Float64Array, y: Float64Array, lines: int, first: int, last: int, out: Float64Array
) -> None:
    # out[d, j] = sum over w of x[d, w] y[w, j], for an even number of lines and the columns first .. last - 1.
    # Every out[d, j] is a sum of its own in one order, so the loop over j vectorizes without a change of bits.
    for start in range(first, last, _TILE):
        stop = min(start + _TILE, last)
        for d in range(0, lines, 2):
            a, b = out[d, start:stop], out[d + 1, start:stop]
            a[:] = 0.0
            b[:] = 0.0
            for w in range(0, y.shape[0], _UNROLLED):
                a0, a1, a2, a3 = x[d, w], x[d, w + 1], x[d, w + 2], x[d, w + 3]
                b0, b1, b2, b3 = x[d + 1, w], x[d + 1, w + 1], x[d + 1, w + 2], x[d + 1, w + 3]
                y0, y1 = y[w, start:stop], y[w + 1, start:stop]
                y2, y3 = y[w + 2, start:stop], y[w + 3, start:stop]
                for j in range(len(a)):
                    a[j] += (a0 * y0[j] + a1 * y1[j]) + (a2 * y2[j] + a3 * y3[j])
                    b[j] += (b0 * y0[j] + b1 * y1[j]) + (b2 * y2[j] + b3 * y3[j])
