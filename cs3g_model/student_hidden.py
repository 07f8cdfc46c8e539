"""How the student's kernel makes a block's hidden layer: each instrument's own rows, and its share of the sums.

`student_sums` has made the sums before. Neighbors' messages are sums as well, but each instrument has its own.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model import student_places as places
from cs3g_model.constants import EPSILON
from cs3g_model.jit import kernel
from cs3g_model.lane_memory import element, load, load_first, put, spread, store, transpose
from cs3g_model.lanes import LANES, fma, larger, magnitude, smaller, splat
from cs3g_model.linear_kernel import BLOCK, dense, rescale, round_rows, rounded
from cs3g_model.vector_math import ONE, ZERO

__all__ = ["hidden_block"]

Array = NDArray[np.float32]
Places = NDArray[np.int64]
Sectors = NDArray[np.int16]
Neighbors = NDArray[np.int32]

_EPSILON: Final = np.float32(EPSILON)
_SUMS: Final = 8  # instruments whose messages are added at once


@kernel(part=True)
def hidden_block(
    at: Places,
    p: Array,
    w: Array,
    block: int,
    sector: Sectors,
    neighbors: Neighbors,
    weights: Array,
    t: int,
    slots: Places,
) -> None:
    """Compute a block's hidden layer, before its silu.

    Shapes as of `kernel.run_student`.
    """
    D, R, wide = at[places.WIDTH], at[places.RANK], at[places.WIDE]
    out, rule = at[places.HIDDEN_BLOCK], at[places.ROUND_LANES]
    parts = at[places.PARTS] + block * at[places.PART_ROWS] * BLOCK
    bias = at[places.NO_BIAS] if rule >= 0 else at[places.HIDDEN_BIAS]
    if at[places.HAS_ROWS]:
        first = block * BLOCK
        count = min(BLOCK, len(sector) - first)
        for e in range(at[places.EDGES]):
            _messages(at, p, w, e, first, count, neighbors, weights, t, slots)
        for n in range(0, count, _SUMS):
            for c in range(0, wide, LANES):
                _add_messages(at, p, w, n, first, count, c, sector)
        for n in range(0, BLOCK, LANES):
            for c in range(0, wide, LANES):
                source = at[places.HIDDEN_BLOCK_ROWS] + n * wide + c
                transpose(w, source, wide, w, out + c * BLOCK + n, BLOCK)
        bias = -1
    inputs = D
    if at[places.HAS_GRAPH]:
        _normalize_queries(at, w, block, parts + D * BLOCK if rule < 0 else at[places.MIX_QUERIES])
        inputs = D + R
        if rule >= 0:
            dense(
                w,
                at[places.MIXING],
                p,
                at[places.NO_BIAS],
                D,
                R,
                w,
                at[places.MIX_QUERIES],
                parts + D * BLOCK,
            )
            inputs = D + D
    x = parts
    if rule >= 0:
        round_rows(p, rule, inputs, w, parts, at[places.ROUNDED])
        x = at[places.ROUNDED]
    dense(w, at[places.HIDDEN_LANES], p, bias, D, inputs, w, x, out)
    if rule >= 0:
        rescale(p, at[places.HIDDEN_SCALE], at[places.HIDDEN_BIAS], D, w, out)


@kernel(part=True)
def _normalize_queries(at: Places, w: Array, block: int, out: int) -> None:
    R = at[places.RANK]
    queries = at[places.FACTOR_LANES] + block * at[places.FACTOR_ROWS] * BLOCK
    for n in range(0, BLOCK, LANES):
        norm = splat(_EPSILON)
        for r in range(R):
            norm = fma(spread(w, at[places.KEY_SUM] + r), load(w, queries + r * BLOCK + n), norm)
        norm = ONE / norm
        for r in range(R):
            store(w, out + r * BLOCK + n, load(w, queries + r * BLOCK + n) * norm)


@kernel(part=True)
def _messages(
    at: Places,
    p: Array,
    w: Array,
    e: int,
    first: int,
    count: int,
    neighbors: Neighbors,
    weights: Array,
    t: int,
    slots: Places,
) -> None:
    # The shrunken means over the present neighbors, by relation e, of `count` instruments.
    wide, rows, live, shares = at[places.WIDE], at[places.ROWS], at[places.LIVE], at[places.SLOTS]
    rule = at[places.ROUND_ROWS]
    limit = spread(p, at[places.EDGE_THRESHOLD] + e)
    mass = p[at[places.EDGE_MASS] + e]
    K, stride = slots[e, 1] - slots[e, 0], neighbors.shape[2]
    place = (t * neighbors.shape[1] + first) * stride + slots[e, 0]
    out = at[places.MESSAGES] + e * BLOCK * wide
    for _ in range(count):
        for k in range(0, K, LANES):
            x = load_first(weights, place + k, K - k)
            store(w, shares + k, x - smaller(larger(x, ZERO - limit), limit))
        norm = mass
        total = splat(ZERO)
        for k in range(K):
            j = np.int64(element(neighbors, place + k))
            share = element(w, shares + k) * element(w, live + j)
            put(w, shares + k, share)
            norm += magnitude(share)
            total = fma(share, load(w, rows + j * wide), total)
        norm = ONE / norm
        for c in range(0, wide, LANES):
            if c:
                total = splat(ZERO)
                for k in range(K):
                    j = np.int64(element(neighbors, place + k))
                    total = fma(spread(w, shares + k), load(w, rows + j * wide + c), total)
            mean = total * norm
            if rule >= 0:
                mean = rounded(mean, load(p, rule + 2 + (1 + e) * wide + c), p[rule], p[rule + 1])
            store(w, out + c, mean)
        out += wide
        place += stride


@kernel(part=True)
def _add_messages(
    at: Places, p: Array, w: Array, n: int, first: int, count: int, c: int, sector: Sectors
) -> None:
    # What eight instruments' messages add to their hidden layers: sums in registers, each weight read once.
    wide, D = at[places.WIDE], at[places.WIDTH]
    h0 = load(w, _sector_place(at, n, first, count, c, sector))
    h1 = load(w, _sector_place(at, n + 1, first, count, c, sector))
    h2 = load(w, _sector_place(at, n + 2, first, count, c, sector))
    h3 = load(w, _sector_place(at, n + 3, first, count, c, sector))
    h4 = load(w, _sector_place(at, n + 4, first, count, c, sector))
    h5 = load(w, _sector_place(at, n + 5, first, count, c, sector))
    h6 = load(w, _sector_place(at, n + 6, first, count, c, sector))
    h7 = load(w, _sector_place(at, n + 7, first, count, c, sector))
    for e in range(at[places.EDGES]):
        message = at[places.MESSAGES] + (e * BLOCK + n) * wide
        matrix = at[places.HIDDEN_ROWS] + (1 + e) * D * wide + c
        for d in range(D):
            x = load(p, matrix + d * wide)
            m = message + d
            h0, h1 = fma(spread(w, m), x, h0), fma(spread(w, m + wide), x, h1)
            m += 2 * wide
            h2, h3 = fma(spread(w, m), x, h2), fma(spread(w, m + wide), x, h3)
            m += 2 * wide
            h4, h5 = fma(spread(w, m), x, h4), fma(spread(w, m + wide), x, h5)
            m += 2 * wide
            h6, h7 = fma(spread(w, m), x, h6), fma(spread(w, m + wide), x, h7)
    out = at[places.HIDDEN_BLOCK_ROWS] + n * wide + c
    store(w, out, h0)
    store(w, out + wide, h1)
    store(w, out + 2 * wide, h2)
    store(w, out + 3 * wide, h3)
    out += 4 * wide
    store(w, out, h4)
    store(w, out + wide, h5)
    store(w, out + 2 * wide, h6)
    store(w, out + 3 * wide, h7)


@kernel(part=True)
def _sector_place(at: Places, n: int, first: int, count: int, c: int, sector: Sectors) -> int:
    g = np.int64(element(sector, first + n)) + 1 if n < count else 0
    return int(at[places.SECTOR_HIDDEN] + g * at[places.WIDE] + c)
