"""The teacher's graph where nothing has to be learned: logits, strongest edges and messages in one pass.

What torch makes of a window in several passes over (H, N, N) and (H, N, K, R), here each destination's row of
logits is made, searched and used while it lies in the first cache. The reference is `graph.EvolvingGraph`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model.jit import kernel
from cs3g_model.lane_memory import element, load, spread, store
from cs3g_model.lanes import LANES, bits_at_least, count_bits, fma, larger, lowest_bit, splat
from cs3g_model.selection import SECTOR_AFFINITY
from cs3g_model.vector_math import ZERO, exponential

__all__ = ["mix_neighbors", "mix_strongest"]

Array = NDArray[np.float32]
Indices = NDArray[np.int64]

_AFFINITY: Final = np.float32(SECTOR_AFFINITY)
_LOWEST: Final = np.float32(-np.inf)
_FLOOR: Final = np.finfo(np.float32).min  # below all that counts, above what does not


@kernel
def mix_strongest(
    q: Array,
    k: Array,
    values: Array,
    coefficients: Array,
    sector: Indices,
    neighbors: Indices,
    weights: Array,
    stops: Indices,
    has_sector: bool,
    edges: int,
    out: Array,
) -> None:
    """Send every head's values along its strongest edges, all N instruments being present.

    Parameters
    ----------
    q, k
        (H, N, R) queries over sqrt(R), and keys.
    values
        (N, D), a head's part of D after the other's.
    coefficients
        (H, P) of the priors, the sector's first if there is one.
    sector, neighbors, weights, stops, has_sector
        As of `selection.select_edges`.
    edges
        K that a destination keeps.
    out
        (N, D), filled.
    """
    H, N, R = q.shape
    padded = (N + LANES - 1) // LANES * LANES
    width = values.shape[1] // H
    keys = np.zeros(R * padded, np.float32)
    row = np.empty(padded, np.float32)
    codes = sector.astype(np.int32)
    maxima = np.empty((edges + LANES) // LANES * 2 * LANES, np.float32)
    strengths, places, ranks = (
        np.empty(padded, np.float32),
        np.zeros(padded, np.int64),
        np.empty(padded, np.int64),
    )
    for h in range(H):
        for j in range(N):
            for r in range(R):
                keys[r * padded + j] = k[h, j, r]
        prior = ZERO
        for p in range(coefficients.shape[1]):
            prior += coefficients[h, p]
        for i in range(N):
            _logits(q, h, i, keys, padded, row)
            own = row[i] + _AFFINITY * prior
            row[N:] = _LOWEST
            if has_sector and codes[i] >= 0:
                bonus = coefficients[h, 0] * _AFFINITY
                for j in range(N):
                    row[j] += bonus if codes[j] == codes[i] else ZERO
            _add_relations(row, i, neighbors, weights, stops, coefficients[h], 1 if has_sector else 0)
            row[i] = _LOWEST
            n = _collect(row, maxima, edges + 1, strengths, places)
            _rank_all(strengths, n, ranks)
            _send(strengths, places, ranks, n, edges, own, values, h * width, width, out[i])


@kernel
def mix_neighbors(
    values: Array,
    neighbors: Indices,
    weights: Array,
    first: int,
    stop: int,
    threshold: float,
    mass: float,
    out: Array,
) -> None:
    """Compute the shrunken means of `mixing.RelationMixer` over slots [first, stop), all being present.

    Shapes: values and out (N, D), neighbors and weights (N, K).
    """
    limit, D = np.float32(threshold), values.shape[1]
    for i in range(len(values)):
        total, norm = out[i], np.float32(mass)
        total[:] = ZERO
        for k in range(first, stop):
            j = neighbors[i, k]
            if j >= 0:
                share = weights[i, k] - min(max(weights[i, k], -limit), limit)
                norm += abs(share)
                for c in range(D):
                    total[c] += share * values[j, c]
        for c in range(D):
            total[c] /= norm


@kernel(part=True)
def _logits(q: Array, h: int, i: int, keys: Array, padded: int, row: Array) -> None:
    N, R = q.shape[1:]
    first = (h * N + i) * R
    for j in range(0, padded, LANES):
        total = splat(ZERO)
        for r in range(R):
            total = fma(spread(q, first + r), load(keys, r * padded + j), total)
        store(row, j, total)


@kernel(part=True)
def _add_relations(
    row: Array, i: int, neighbors: Indices, weights: Array, stops: Indices, coefficients: Array, first: int
) -> None:
    start = 0
    for p in range(len(stops)):
        for k in range(start, stops[p]):
            j = neighbors[i, k]
            if j >= 0:
                row[j] += coefficients[first + p] * max(weights[i, k], ZERO)
        start = stops[p]


@kernel(part=True)
def _collect(row: Array, maxima: Array, wanted: int, values: Array, places: Indices) -> int:
    """Collect, in order of index, what may be among the `wanted` strongest of a row; return how many that are.

    The maxima of the lanes over parts of the row are different elements of it. So the `wanted`-th strongest of
    these bounds the row's own from below, and not many elements pass it.
    """
    vectors, parts = len(row) // LANES, len(maxima) // LANES
    for part in range(parts):
        most = splat(_LOWEST)
        for v in range(part * vectors // parts, (part + 1) * vectors // parts):
            most = larger(load(row, v * LANES), most)
        store(maxima, part * LANES, most)
    bound = _FLOOR
    for i in range(len(maxima)):
        x = element(maxima, i)
        if x > bound and _count_at_least(maxima, len(maxima), x) >= wanted:
            bound = x
    n = 0
    for start in range(0, len(row), LANES):
        bits = bits_at_least(load(row, start), bound)
        while bits:
            j = start + lowest_bit(bits)
            bits &= bits - 1
            values[n], places[n] = element(row, j), j
            n += 1
    while n % LANES:
        values[n] = _LOWEST
        n += 1
    return n


@kernel(part=True)
def _count_at_least(values: Array, n: int, x: np.float32) -> int:
    count = 0
    for i in range(0, n, LANES):
        count += count_bits(bits_at_least(load(values, i), x))
    return count


@kernel(part=True)
def _has_equals(values: Array, n: int, x: np.float32, rank: int) -> bool:
    # Whether x, of which `rank` others are at least as large, is there more than once.
    count = 0
    for i in range(0, n, LANES):
        count += count_bits(bits_at_least(x, load(values, i)))
    return count + rank > n


@kernel(part=True)
def _rank_all(values: Array, n: int, ranks: Indices) -> None:
    # How many are stronger than each, or as strong and before it; what fills up the last vector comes last.
    for i in range(n):
        x = values[i]
        rank = _count_at_least(values, n, x) - 1
        if x == _LOWEST:
            rank = n
        elif _has_equals(values, n, x, rank):
            for j in range(i + 1, n):
                rank -= values[j] == x
        ranks[i] = rank


@kernel(part=True)
def _send(
    strengths: Array,
    places: Indices,
    ranks: Indices,
    n: int,
    edges: int,
    own: np.float32,
    values: Array,
    column: int,
    width: int,
    out: Array,
) -> None:
    top, cut = own, _LOWEST
    for i in range(n):
        top = max(top, strengths[i])
        if ranks[i] == edges:
            cut = strengths[i]
    below = exponential(cut - top) if cut > _LOWEST else ZERO
    for i in range(0, n, LANES):
        store(strengths, i, larger(exponential(load(strengths, i) - top) - below, ZERO))
    total = exponential(own - top)
    for c in range(column, column + width):
        out[c] = ZERO
    for i in range(n):
        if ranks[i] < edges and strengths[i] > ZERO:
            share = strengths[i]
            total += share
            for c in range(column, column + width):
                out[c] += share * values[places[i], c]
    for c in range(column, column + width):
        out[c] /= total
