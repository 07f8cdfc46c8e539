"""What the student's kernel sums over all instruments of a window, and what follows from the sums alone.

The hidden layer's matrix is multiplied here, with the sums and once in a window, not with each instrument's
share of them, unless those shares are rounded.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model import student_places as places
from cs3g_model.constants import EPSILON
from cs3g_model.jit import kernel
from cs3g_model.lane_memory import element, load, spread, store, transpose
from cs3g_model.lanes import LANES, Lanes, fma, larger, smaller, splat
from cs3g_model.linear_kernel import BLOCK, TILE, rounded
from cs3g_model.vector_math import ONE, ZERO

__all__ = ["add_rows", "center", "positive_rows", "prepare_mixing", "prepare_sectors"]

Array = NDArray[np.float32]
Places = NDArray[np.int64]
Sectors = NDArray[np.int16]

_EPSILON: Final = np.float32(EPSILON)
_SUMS: Final = 8  # RANK_TILES counts in these


@kernel(part=True)
def add_rows(at: Places, w: Array, block: int, y: int) -> None:
    """Turn a block's y into rows by instrument, and add those of the present to the sum over all."""
    wide = at[places.WIDE]
    rows = at[places.ROWS] + block * BLOCK * wide
    live = at[places.LIVE] + block * BLOCK
    for c in range(0, wide, LANES):
        for n in range(0, BLOCK, LANES):
            transpose(w, y + c * BLOCK + n, BLOCK, w, rows + n * wide + c, wide)
        total = load(w, at[places.MEAN] + c)
        for n in range(BLOCK):
            total = fma(spread(w, live + n), load(w, rows + n * wide + c), total)
        store(w, at[places.MEAN] + c, total)


@kernel(part=True)
def positive_rows(at: Places, w: Array, block: int) -> None:
    """Make a block's queries and keys positive, and an absent instrument's key 0."""
    factors = at[places.FACTOR_LANES] + block * at[places.FACTOR_ROWS] * BLOCK
    live = at[places.LIVE] + block * BLOCK
    keys = at[places.RANK_TILES] * BLOCK
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
    wide = at[places.WIDE]
    rows, live = at[places.ROWS], at[places.LIVE]
    scale = ONE / (np.float32(present) + _EPSILON)
    totals, counts = at[places.SECTOR_TOTAL], at[places.SECTOR_COUNT]
    by_sector = at[places.HAS_ROWS]
    if by_sector:
        w[totals : totals + (at[places.N_SECTORS] + 1) * wide] = ZERO
        w[counts : counts + at[places.N_SECTORS] + 1] = ZERO
    for c in range(0, wide, LANES):
        mean = load(w, at[places.MEAN] + c) * scale
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
    wide, D, R = at[places.WIDE], at[places.WIDTH], at[places.RANK]
    for c in range(0, wide, LANES):
        for r in range(0, at[places.RANK_TILES], _SUMS):
            _add_keys(at, w, n_instruments, r, c)
    if at[places.ROUND_LANES] >= 0:  # mix (D, R) = total transposed
        for d in range(D):
            for r in range(R):
                w[at[places.MIXING] + _packed(d, r, R)] = w[at[places.TOTAL] + r * wide + d]
        return
    for r in range(R):  # hidden (D, R) of it
        for c in range(0, wide, LANES):
            total = splat(ZERO)
            for d in range(D):
                share = spread(w, at[places.TOTAL] + r * wide + d)
                total = fma(share, load(p, at[places.HIDDEN_MIX] + d * wide + c), total)
            store(w, at[places.SQUARE], total)
            for o in range(c, min(c + LANES, D)):
                w[at[places.HIDDEN_LANES] + _packed(o, D + r, D + R)] = w[at[places.SQUARE] + o - c]


@kernel(part=True)
def _packed(output: int, column: int, inputs: int) -> int:
    # Where `pack_matrix` puts it.
    return (output // TILE * inputs + column) * TILE + output % TILE


@kernel(part=True)
def _add_keys(at: Places, w: Array, n_instruments: int, r: int, c: int) -> None:
    # Eight sums of keys times rows, and of the keys themselves: left folds over the instruments.
    wide, height = at[places.WIDE], at[places.FACTOR_ROWS] * BLOCK
    t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = splat(ZERO)
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = ZERO
    for n in range(n_instruments):
        key = at[places.FACTOR_LANES] + n // BLOCK * height + (at[places.RANK_TILES] + r) * BLOCK + n % BLOCK
        v = load(w, at[places.ROWS] + n * wide + c)
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
    total = at[places.TOTAL] + r * wide + c
    store(w, total, t0)
    store(w, total + wide, t1)
    store(w, total + 2 * wide, t2)
    store(w, total + 3 * wide, t3)
    total += 4 * wide
    store(w, total, t4)
    store(w, total + wide, t5)
    store(w, total + 2 * wide, t6)
    store(w, total + 3 * wide, t7)
    place = at[places.KEY_SUM] + r
    w[place], w[place + 1], w[place + 2], w[place + 3] = s0, s1, s2, s3
    w[place + 4], w[place + 5], w[place + 6], w[place + 7] = s4, s5, s6, s7


@kernel(part=True)
def prepare_sectors(at: Places, p: Array, w: Array) -> None:
    """Compute what each sector's mean adds to the hidden layer of its members; of no sector, nothing."""
    wide, D = at[places.WIDE], at[places.WIDTH]
    rule = at[places.ROUND_ROWS]
    for g in range(at[places.N_SECTORS] + 1):
        total = at[places.SECTOR_TOTAL] + g * wide
        scale = ONE / (w[at[places.SECTOR_COUNT] + g] + _EPSILON) if g > 0 else ZERO
        for c in range(0, wide, LANES):
            mean = load(w, total + c) * scale
            if rule >= 0:
                mean = rounded(mean, load(p, rule + 2 + c), p[rule], p[rule + 1])
            store(w, total + c, mean)
        for c in range(0, wide, LANES):
            # The bias comes after the scale of rounded inputs, and first where there is none.
            out = splat(ZERO) if rule >= 0 else load(p, at[places.HIDDEN_BIAS] + c)
            for d in range(D):
                out = fma(spread(w, total + d), load(p, at[places.HIDDEN_ROWS] + d * wide + c), out)
            store(w, at[places.SECTOR_HIDDEN] + g * wide + c, out)
