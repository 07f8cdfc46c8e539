"""Linear layers of the student's kernel over blocks of instruments, inputs in float32 or rounded to 8 bits.

Rounded inputs are integers q held in float32. Where the weights are integers as well, a row's products
and their sums stay below 2^24 and are exact: what is computed is the int8 layer itself, whatever machine
computes it. Only then comes the scale.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cs3g_model.jit import kernel
from cs3g_model.lane_memory import load, spread, store
from cs3g_model.lanes import LANES, Lanes, fma, larger, smaller

__all__ = ["BLOCK", "TILE", "RoundedInput", "dense", "pack_matrix", "rescale", "round_rows", "unrounded"]

Array = NDArray[np.float32]

BLOCK: Final = 64
"""Instruments that are worked on at once: four vectors a row, and all rows of a block in the first cache."""

TILE: Final = 4
"""Outputs that are summed at once: with a block's four vectors, 16 sums in registers."""

_1, _2, _3 = LANES, 2 * LANES, 3 * LANES
_ROUND: Final = np.float32(
    12582912.0
)  # 1.5 * 2^23: adding and subtracting it rounds an integer, half to even
_LARGEST: Final = np.float32(1 << 20)


class RoundedInput(NamedTuple):
    """How an input becomes integers; without rows it stays as it is.

    q = clamp(round(x inverse), low, high)
    """

    inverse: Array  # (rows,)
    low: np.float32
    high: np.float32


def unrounded() -> RoundedInput:
    """Return the input that stays as it is."""
    return RoundedInput(np.zeros(0, np.float32), np.float32(0), np.float32(0))


def pack_matrix(weight: Array) -> Array:
    """Arrange a matrix (O, I) as `dense` reads it: (O / TILE, I, TILE), O rounded up with rows of 0."""
    outputs, inputs = weight.shape
    padded = np.zeros((-(-outputs // TILE) * TILE, inputs), np.float32)
    padded[:outputs] = weight
    return np.ascontiguousarray(padded.reshape(-1, TILE, inputs).transpose(0, 2, 1))


@kernel(part=True)
def dense(
    weights: Array,
    weight: int,
    biases: Array,
    bias: int,
    outputs: int,
    inputs: int,
    w: Array,
    x: int,
    out: int,
) -> None:
    """Compute rows out = bias + weight x of a block; every output is a left fold over its inputs.

    Parameters
    ----------
    weights, weight
        Flat array, and the place in it of a matrix (outputs, inputs) as `pack_matrix` arranges it.
    biases, bias
        Flat array, and the place in it of a number for each output; below 0, what lies in `out` is added to.
    outputs, inputs
        Rows; of the outputs those up to the next multiple of `TILE` are written.
    w, x, out
        Flat array, and the places in it of rows of `BLOCK` elements.
    """
    for o in range(0, outputs, TILE):
        at = out + o * BLOCK
        if bias >= 0:
            a0 = a1 = a2 = a3 = spread(biases, bias + o)
            b0 = b1 = b2 = b3 = spread(biases, bias + o + 1)
            c0 = c1 = c2 = c3 = spread(biases, bias + o + 2)
            d0 = d1 = d2 = d3 = spread(biases, bias + o + 3)
        else:
            a0, a1, a2, a3 = load(w, at), load(w, at + _1), load(w, at + _2), load(w, at + _3)
            p = at + BLOCK
            b0, b1, b2, b3 = load(w, p), load(w, p + _1), load(w, p + _2), load(w, p + _3)
            p += BLOCK
            c0, c1, c2, c3 = load(w, p), load(w, p + _1), load(w, p + _2), load(w, p + _3)
            p += BLOCK
            d0, d1, d2, d3 = load(w, p), load(w, p + _1), load(w, p + _2), load(w, p + _3)
        row = weight + o * inputs
        for i in range(inputs):
            p, q = x + i * BLOCK, row + i * TILE
            x0, x1, x2, x3 = load(w, p), load(w, p + _1), load(w, p + _2), load(w, p + _3)
            s = spread(weights, q)
            a0, a1, a2, a3 = fma(s, x0, a0), fma(s, x1, a1), fma(s, x2, a2), fma(s, x3, a3)
            s = spread(weights, q + 1)
            b0, b1, b2, b3 = fma(s, x0, b0), fma(s, x1, b1), fma(s, x2, b2), fma(s, x3, b3)
            s = spread(weights, q + 2)
            c0, c1, c2, c3 = fma(s, x0, c0), fma(s, x1, c1), fma(s, x2, c2), fma(s, x3, c3)
            s = spread(weights, q + 3)
            d0, d1, d2, d3 = fma(s, x0, d0), fma(s, x1, d1), fma(s, x2, d2), fma(s, x3, d3)
        _store_row(w, at, a0, a1, a2, a3)
        _store_row(w, at + BLOCK, b0, b1, b2, b3)
        _store_row(w, at + 2 * BLOCK, c0, c1, c2, c3)
        _store_row(w, at + 3 * BLOCK, d0, d1, d2, d3)


@kernel(inline=True)
def _store_row(w: Array, at: int, v0: Lanes, v1: Lanes, v2: Lanes, v3: Lanes) -> None:
    store(w, at, v0)
    store(w, at + _1, v1)
    store(w, at + _2, v2)
    store(w, at + _3, v3)


@kernel(part=True)
def rescale(p: Array, scale: int, bias: int, outputs: int, w: Array, out: int) -> None:
    """Turn rows of a block into bias + scale * row, with a scale and a bias in p for each row."""
    for o in range(outputs):
        s, b = spread(p, scale + o), spread(p, bias + o)
        for n in range(out + o * BLOCK, out + (o + 1) * BLOCK, LANES):
            store(w, n, b + s * load(w, n))


@kernel(inline=True)
def rounded(x: Lanes, inverse: Lanes, low: np.float32, high: np.float32) -> Lanes:
    """Return clamp(round(x inverse), low, high) of lanes."""
    q = smaller(larger(x * inverse, -_LARGEST), _LARGEST)  # clamped first to where _ROUND rounds
    return smaller(larger((q + _ROUND) - _ROUND, low), high)


@kernel(part=True)
def round_rows(p: Array, rule: int, inputs: int, w: Array, x: int, out: int) -> None:
    """Round rows of a block; the rule in p is low, high, and the inverse of each row's step."""
    low, high = p[rule], p[rule + 1]
    for i in range(inputs):
        inverse = spread(p, rule + 2 + i)
        for n in range(i * BLOCK, (i + 1) * BLOCK, LANES):
            store(w, out + n, rounded(load(w, x + n), inverse, low, high))
