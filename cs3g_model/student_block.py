"""What the student's kernel does to a block of instruments, each by itself: wavelets, layers, state."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model import student_places as places
from cs3g_model.jit import kernel
from cs3g_model.lane_memory import load, load_first, spread, store, transpose
from cs3g_model.lanes import LANES, fma, larger, select_positive, smaller
from cs3g_model.linear_kernel import BLOCK, dense, rescale, round_rows
from cs3g_model.vector_math import ONE, ZERO, exponential_minus_1, silu, softplus

__all__ = ["filter_block", "layer", "load_features", "scan_block", "silu_rows"]

Array = NDArray[np.float32]
Places = NDArray[np.int64]

_HALF: Final = np.float32(0.5)
_1, _2, _3 = LANES, 2 * LANES, 3 * LANES


@kernel(part=True)
def load_features(at: Places, w: Array, features: Array, place: int, count: int) -> None:
    """Turn the features of `count` instruments, (count, F) at `place`, into the last F rows of the bands."""
    F = at[places.FEATURES]
    square = at[places.SQUARE]
    first = at[places.BANDS] + at[places.LEVELS] * F * BLOCK
    for n in range(0, BLOCK, LANES):
        for f in range(0, F, LANES):
            for i in range(LANES):
                here = min(F - f, LANES) if n + i < count else 0
                store(w, square + i * LANES, load_first(features, place + (n + i) * F + f, here))
            transpose(w, square, LANES, w, first + f * BLOCK + n, BLOCK)


@kernel(part=True)
def filter_block(
    at: Places, p: Array, w: Array, live: int, source: Array, target: Array, width: int, column: int
) -> None:
    """Fill the bands from their last F rows, and move the buffers on.

    Parameters
    ----------
    at, p, w
        Places, parameters and scratch memory.
    live
        Place of the block's presence.
    source, target
        (2^L - 1, F, width) buffers before and after, which may be one array.
    width, column
        Of these.
    """
    F, levels = at[places.FEATURES], at[places.LEVELS]
    bands = at[places.BANDS]
    smooth = bands + levels * F * BLOCK
    for n in range(0, BLOCK, LANES):
        present = load(w, live + n)
        for f in range(F):
            x = select_positive(present, load(w, smooth + f * BLOCK + n), ZERO)
            for level in range(levels):
                lag = 1 << level
                limit = spread(p, at[places.THRESHOLD] + level * F + f)
                oldest = column + n + ((lag - 1) * F + f) * width
                fresh = x
                x = _HALF * (fresh + load(source, oldest))
                d = fresh - x
                d = d - smaller(larger(d, ZERO - limit), limit)
                store(w, bands + (level * F + f) * BLOCK + n, d)
                row = oldest
                older = load(source, row)
                for _ in range(lag - 1):
                    newer = load(source, row + F * width)
                    store(target, row, select_positive(present, newer, older))
                    older = newer
                    row += F * width
                store(target, row, select_positive(present, fresh, older))
            store(w, smooth + f * BLOCK + n, x)


@kernel(part=True)
def layer(
    at: Places,
    p: Array,
    w: Array,
    matrix: int,
    bias: int,
    scale: int,
    rule: int,
    outputs: int,
    inputs: int,
    x: int,
    out: int,
) -> None:
    """Compute a linear layer of a block, its input rounded by the rule if there is one (>= 0).

    All but `at` and the two arrays are places in them and numbers of rows.
    """
    if rule >= 0:
        round_rows(p, rule, inputs, w, x, at[places.ROUNDED])
    source, start = (x, bias) if rule < 0 else (at[places.ROUNDED], at[places.NO_BIAS])
    dense(p, matrix, p, start, outputs, inputs, w, source, out)
    if rule >= 0:
        rescale(p, scale, bias, outputs, w, out)


@kernel(part=True)
def silu_rows(w: Array, x: int, rows: int) -> None:
    """Apply silu to rows of a block, in place."""
    for n in range(x, x + rows * BLOCK, LANES):
        store(w, n, silu(load(w, n)))


@kernel(part=True)
def scan_block(
    at: Places, p: Array, w: Array, live: int, source: Array, target: Array, width: int, column: int, y: int
) -> None:
    """Move the state on and compute y; parameters as of `filter_block`, the states are (D, S, width)."""
    D, S = at[places.WIDTH], at[places.STATES]
    delta, u, first = at[places.SELECTED], at[places.U], at[places.CHANGE]
    B = delta + D * BLOCK
    C = B + S * BLOCK
    # Each loop is short enough for the CPU to have several of its rounds under way.
    for d in range(D):
        for n in range(0, BLOCK, LANES):
            place = d * BLOCK + n
            store(w, delta + place, softplus(load(w, delta + place)) * load(w, live + n))
    for d in range(D):
        rate = spread(p, at[places.RATE] + d)
        for n in range(d * BLOCK, (d + 1) * BLOCK, LANES):
            store(w, first + n, exponential_minus_1(load(w, delta + n) * rate))
    for d in range(D):
        row, place, inverses = d * BLOCK, d * S * width + column, at[places.RATE_INVERSE] + d * S
        _scan_row(
            p,
            w,
            S,
            u + row,
            first + row,
            B,
            C,
            inverses,
            at[places.SKIP] + d,
            source,
            target,
            place,
            width,
            y + row,
        )


@kernel(inline=True)
def _scan_row(
    p: Array,
    w: Array,
    S: int,
    u: int,
    first: int,
    B: int,
    C: int,
    inverses: int,
    skip: int,
    source: Array,
    target: Array,
    place: int,
    width: int,
    y: int,
) -> None:
    # One channel of a block, all four vectors at once.
    u0, u1, u2, u3 = load(w, u), load(w, u + _1), load(w, u + _2), load(w, u + _3)
    f0, f1, f2, f3 = load(w, first), load(w, first + _1), load(w, first + _2), load(w, first + _3)
    c0, c1, c2, c3 = f0, f1, f2, f3  # exp(delta a (s + 1)) - 1
    d = spread(p, skip)
    y0, y1, y2, y3 = d * u0, d * u1, d * u2, d * u3
    for s in range(S):
        inverse = spread(p, inverses + s)
        x0, x1, x2, x3 = (
            load(source, place),
            load(source, place + _1),
            load(source, place + _2),
            load(source, place + _3),
        )
        x0 = fma(c0, fma(inverse * u0, load(w, B), x0), x0)
        x1 = fma(c1, fma(inverse * u1, load(w, B + _1), x1), x1)
        x2 = fma(c2, fma(inverse * u2, load(w, B + _2), x2), x2)
        x3 = fma(c3, fma(inverse * u3, load(w, B + _3), x3), x3)
        store(target, place, x0)
        store(target, place + _1, x1)
        store(target, place + _2, x2)
        store(target, place + _3, x3)
        y0, y1 = fma(load(w, C), x0, y0), fma(load(w, C + _1), x1, y1)
        y2, y3 = fma(load(w, C + _2), x2, y2), fma(load(w, C + _3), x3, y3)
        c0, c1 = fma(c0 + ONE, f0, c0), fma(c1 + ONE, f1, c1)
        c2, c3 = fma(c2 + ONE, f2, c2), fma(c3 + ONE, f3, c3)
        place += width
        B += BLOCK
        C += BLOCK
    store(w, y, y0)
    store(w, y + _1, y1)
    store(w, y + _2, y2)
    store(w, y + _3, y3)
