"""How the student's kernel mixes instruments: sums over all of them, then each one's share of the sums.

What is linear is done where it is cheapest: the hidden layer's matrix is multiplied with the sums, once in
a window, and not with each instrument's share of them, unless those shares are rounded.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model import student_plan as plan
from cs3g_model.constants import EPSILON
from cs3g_model.jit import kernel
from cs3g_model.lane_memory import element, load, load_first, put, spread, store, transpose
from cs3g_model.lanes import LANES, Lanes, fma, larger, magnitude, smaller, splat
from cs3g_model.linear_kernel import BLOCK, TILE, dense, rescale, round_rows, rounded
from cs3g_model.vector_math import ONE, ZERO

__all__ = ["add_rows", "center", "hidden_block", "positive_rows", "prepare_mixing", "prepare_sectors"]

Array = NDArray[np.float32]
Places = NDArray[np.int64]
Sectors = NDArray[np.int16]
Neighbors = NDArray[np.int32]

_EPSILON: Final = np.float32(EPSILON)
_SUMS: Final = 8  # RANK_TILES counts in these


@kernel(part=True)
def add_rows(at: Places, w: Array, block: int, y: int) -> None:
    """Turn a block's y into rows by instrument, and add those of the present to the sum over all."""
    wide = at[plan.WIDE]
    rows = at[plan.ROWS] + block * BLOCK * wide
    live = at[plan.LIVE] + block * BLOCK
    for c in range(0, wide, LANES):
        for n in range(0, BLOCK, LANES):
            transpose(w, y + c * BLOCK + n, BLOCK, w, rows + n * wide + c, wide)
        total = load(w, at[plan.MEAN] + c)
        for n in range(BLOCK):
            total = fma(spread(w, live + n), load(w, rows + n * wide + c), total)
        store(w, at[plan.MEAN] + c, total)


@kernel(part=True)
def positive_rows(at: Places, w: Array, block: int) -> None:
    """Make a block's queries and keys positive, and an absent instrument's key 0."""
    factors = at[plan.FACTOR_LANES] + block * at[plan.FACTOR_ROWS] * BLOCK
    live = at[plan.LIVE] + block * BLOCK
    keys = at[plan.RANK_TILES] * BLOCK
    for n in range(0, keys, LANES):
        store(w, factors + n, _positive(load(w, factors + n)))
        key = _positive(load(w, factors + keys + n))
        store(w, factors + keys + n, key * load(w, live + n % BLOCK))


@kernel(inline=True)
def _positive(x: Lanes) -> Lanes:
    return larger(x, ZERO) + ONE / (ONE - smaller(x, ZERO))


@kernel(part=True)
def center(at: Places, w: Array, present: int, sector: Sectors) -> None:
    """Subtract the mean from the rows, and add what is left up by sector."""
    wide = at[plan.WIDE]
    rows, live = at[plan.ROWS], at[plan.LIVE]
    scale = ONE / (np.float32(present) + _EPSILON)
    totals, counts = at[plan.SECTOR_TOTAL], at[plan.SECTOR_COUNT]
    by_sector = at[plan.HAS_ROWS]
    if by_sector:
        w[totals : totals + (at[plan.N_SECTORS] + 1) * wide] = ZERO
        w[counts : counts + at[plan.N_SECTORS] + 1] = ZERO
    for c in range(0, wide, LANES):
        mean = load(w, at[plan.MEAN] + c) * scale
        for n in range(len(sector)):
            place = rows + n * wide + c
            v = load(w, place) - mean
            store(w, place, v)
            if by_sector:
                total = totals + (element(sector, n) + 1) * wide + c
                store(w, total, fma(spread(w, live + n), v, load(w, total)))
    if by_sector:
        for n in range(len(sector)):
            w[counts + element(sector, n) + 1] += element(w, live + n)


@kernel(part=True)
def prepare_mixing(at: Places, p: Array, w: Array, n_instruments: int) -> None:
    """Sum keys times rows over the instruments, and make the matrices of the low-rank mix of it."""
    wide, D, R = at[plan.WIDE], at[plan.WIDTH], at[plan.RANK]
    for c in range(0, wide, LANES):
        for r in range(0, at[plan.RANK_TILES], _SUMS):
            _add_keys(at, w, n_instruments, r, c)
    if at[plan.ROUND_LANES] >= 0:  # mix (D, R) = total transposed
        for d in range(D):
            for r in range(R):
                w[at[plan.MIXING] + _packed(d, r, R)] = w[at[plan.TOTAL] + r * wide + d]
        return
    for r in range(R):  # hidden (D, R) of it
        for c in range(0, wide, LANES):
            total = splat(ZERO)
            for d in range(D):
                share = spread(w, at[plan.TOTAL] + r * wide + d)
                total = fma(share, load(p, at[plan.HIDDEN_MIX] + d * wide + c), total)
            store(w, at[plan.SQUARE], total)
            for o in range(c, min(c + LANES, D)):
                w[at[plan.HIDDEN_LANES] + _packed(o, D + r, D + R)] = w[at[plan.SQUARE] + o - c]


@kernel(part=True)
def _packed(output: int, column: int, inputs: int) -> int:
    # Where `pack_matrix` puts it.
    return (output // TILE * inputs + column) * TILE + output % TILE


@kernel(part=True)
def _add_keys(at: Places, w: Array, n_instruments: int, r: int, c: int) -> None:
    # Eight sums of keys times rows, and of the keys themselves: left folds over the instruments.
    wide, height = at[plan.WIDE], at[plan.FACTOR_ROWS] * BLOCK
    t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = splat(ZERO)
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = ZERO
    for n in range(n_instruments):
        key = at[plan.FACTOR_LANES] + n // BLOCK * height + (at[plan.RANK_TILES] + r) * BLOCK + n % BLOCK
        v = load(w, at[plan.ROWS] + n * wide + c)
        k0, k1, k2, k3 = (
            element(w, key),
            element(w, key + BLOCK),
            element(w, key + 2 * BLOCK),
            element(w, key + 3 * BLOCK),
        )
        key += 4 * BLOCK
        k4, k5, k6, k7 = (
            element(w, key),
            element(w, key + BLOCK),
            element(w, key + 2 * BLOCK),
            element(w, key + 3 * BLOCK),
        )
        t0, t1, t2, t3 = fma(k0, v, t0), fma(k1, v, t1), fma(k2, v, t2), fma(k3, v, t3)
        t4, t5, t6, t7 = fma(k4, v, t4), fma(k5, v, t5), fma(k6, v, t6), fma(k7, v, t7)
        s0, s1, s2, s3 = s0 + k0, s1 + k1, s2 + k2, s3 + k3
        s4, s5, s6, s7 = s4 + k4, s5 + k5, s6 + k6, s7 + k7
    total = at[plan.TOTAL] + r * wide + c
    store(w, total, t0)
    store(w, total + wide, t1)
    store(w, total + 2 * wide, t2)
    store(w, total + 3 * wide, t3)
    total += 4 * wide
    store(w, total, t4)
    store(w, total + wide, t5)
    store(w, total + 2 * wide, t6)
    store(w, total + 3 * wide, t7)
    place = at[plan.KEY_SUM] + r
    w[place], w[place + 1], w[place + 2], w[place + 3] = s0, s1, s2, s3
    w[place + 4], w[place + 5], w[place + 6], w[place + 7] = s4, s5, s6, s7


@kernel(part=True)
def prepare_sectors(at: Places, p: Array, w: Array) -> None:
    """Compute what each sector's mean adds to the hidden layer of its members; of no sector, nothing."""
    wide, D = at[plan.WIDE], at[plan.WIDTH]
    rule = at[plan.ROUND_ROWS]
    for g in range(at[plan.N_SECTORS] + 1):
        total = at[plan.SECTOR_TOTAL] + g * wide
        scale = ONE / (w[at[plan.SECTOR_COUNT] + g] + _EPSILON) if g > 0 else ZERO
        for c in range(0, wide, LANES):
            mean = load(w, total + c) * scale
            if rule >= 0:
                mean = rounded(mean, load(p, rule + 2 + c), p[rule], p[rule + 1])
            store(w, total + c, mean)
        for c in range(0, wide, LANES):
            # The bias comes after the scale of rounded inputs, and first where there is none.
            out = splat(ZERO) if rule >= 0 else load(p, at[plan.HIDDEN_BIAS] + c)
            for d in range(D):
                out = fma(spread(w, total + d), load(p, at[plan.HIDDEN_ROWS] + d * wide + c), out)
            store(w, at[plan.SECTOR_HIDDEN] + g * wide + c, out)


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
    D, R, wide = at[plan.WIDTH], at[plan.RANK], at[plan.WIDE]
    out, rule = at[plan.HIDDEN_BLOCK], at[plan.ROUND_LANES]
    parts = at[plan.PARTS] + block * at[plan.PART_ROWS] * BLOCK
    bias = at[plan.NO_BIAS] if rule >= 0 else at[plan.HIDDEN_BIAS]
    if at[plan.HAS_ROWS]:
        first = block * BLOCK
        count = min(BLOCK, len(sector) - first)
        for e in range(at[plan.EDGES]):
            _messages(at, p, w, e, first, count, neighbors, weights, t, slots)
        for n in range(0, count, _SUMS):
            for c in range(0, wide, LANES):
                _add_messages(at, p, w, n, first, count, c, sector)
        for n in range(0, BLOCK, LANES):
            for c in range(0, wide, LANES):
                source = at[plan.HIDDEN_BLOCK_ROWS] + n * wide + c
                transpose(w, source, wide, w, out + c * BLOCK + n, BLOCK)
        bias = -1
    inputs = D
    if at[plan.HAS_GRAPH]:
        _normalize_queries(at, w, block, parts + D * BLOCK if rule < 0 else at[plan.MIX_QUERIES])
        inputs = D + R
        if rule >= 0:
            dense(w, at[plan.MIXING], p, at[plan.NO_BIAS], D, R, w, at[plan.MIX_QUERIES], parts + D * BLOCK)
            inputs = D + D
    x = parts
    if rule >= 0:
        round_rows(p, rule, inputs, w, parts, at[plan.ROUNDED])
        x = at[plan.ROUNDED]
    dense(w, at[plan.HIDDEN_LANES], p, bias, D, inputs, w, x, out)
    if rule >= 0:
        rescale(p, at[plan.HIDDEN_SCALE], at[plan.HIDDEN_BIAS], D, w, out)


@kernel(part=True)
def _normalize_queries(at: Places, w: Array, block: int, out: int) -> None:
    R = at[plan.RANK]
    queries = at[plan.FACTOR_LANES] + block * at[plan.FACTOR_ROWS] * BLOCK
    for n in range(0, BLOCK, LANES):
        norm = splat(_EPSILON)
        for r in range(R):
            norm = fma(spread(w, at[plan.KEY_SUM] + r), load(w, queries + r * BLOCK + n), norm)
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
    wide, rows, live, shares = at[plan.WIDE], at[plan.ROWS], at[plan.LIVE], at[plan.SLOTS]
    rule = at[plan.ROUND_ROWS]
    limit = spread(p, at[plan.EDGE_THRESHOLD] + e)
    mass = p[at[plan.EDGE_MASS] + e]
    K, stride = slots[e, 1] - slots[e, 0], neighbors.shape[2]
    place = (t * neighbors.shape[1] + first) * stride + slots[e, 0]
    out = at[plan.MESSAGES] + e * BLOCK * wide
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
    wide, D = at[plan.WIDE], at[plan.WIDTH]
    h0 = load(w, _sector_place(at, n, first, count, c, sector))
    h1 = load(w, _sector_place(at, n + 1, first, count, c, sector))
    h2 = load(w, _sector_place(at, n + 2, first, count, c, sector))
    h3 = load(w, _sector_place(at, n + 3, first, count, c, sector))
    h4 = load(w, _sector_place(at, n + 4, first, count, c, sector))
    h5 = load(w, _sector_place(at, n + 5, first, count, c, sector))
    h6 = load(w, _sector_place(at, n + 6, first, count, c, sector))
    h7 = load(w, _sector_place(at, n + 7, first, count, c, sector))
    for e in range(at[plan.EDGES]):
        message = at[plan.MESSAGES] + (e * BLOCK + n) * wide
        matrix = at[plan.HIDDEN_ROWS] + (1 + e) * D * wide + c
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
    out = at[plan.HIDDEN_BLOCK_ROWS] + n * wide + c
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
    return int(at[plan.SECTOR_HIDDEN] + g * at[plan.WIDE] + c)
