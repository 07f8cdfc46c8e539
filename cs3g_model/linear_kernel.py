"""Linear layers of the student's kernel, with inputs in float32 or rounded to 8 bits.

Rounded inputs are integers q held in float32. Where the weights are integers as well, a row's products
and their sums stay below 2^24 and are exact: what is computed is the int8 layer itself, whatever machine
computes it. Only then comes the scale.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cs3g_model.jit import kernel
from cs3g_model.vector_math import ZERO

__all__ = ["RoundedInput", "add_scaled", "affine", "dense", "linear", "unrounded"]

Array = NDArray[np.float32]

_ROUND: Final = np.float32(
    12582912.0
)  # 1.5 * 2^23: adding and subtracting it rounds to an integer, half to even
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


@kernel
def dense(
    weight: Array, bias: Array, scale: Array, rounded: RoundedInput, x: Array, scratch: Array, out: Array
) -> None:
    """Compute out (O, N) = bias + scale * (weight (O, I) q), or bias + weight x where x is not rounded.

    Parameters
    ----------
    weight, bias, scale
        (O, I), (O,), (O,); the scale is read where x is rounded.
    rounded
        Of x.
    x
        (I, N).
    scratch
        (>= I, N), overwritten where x is rounded.
    out
        (O, N), filled.
    """
    if len(rounded.inverse) == 0:
        affine(weight, bias, x, out)
    else:
        _round_rows(rounded, x, scratch)
        linear(weight, scratch, out)
        for o in range(out.shape[0]):
            row, b, s = out[o], bias[o], scale[o]
            for n in range(row.shape[0]):
                row[n] = b + s * row[n]


@kernel
def _round_rows(rounded: RoundedInput, x: Array, out: Array) -> None:
    low, high = rounded.low, rounded.high
    for i in range(x.shape[0]):
        inverse, source, target = rounded.inverse[i], x[i], out[i]
        for n in range(source.shape[0]):
            # Clamped first to where _ROUND rounds.
            q = min(max(source[n] * inverse, -_LARGEST), _LARGEST)
            target[n] = min(max((q + _ROUND) - _ROUND, low), high)


@kernel
def linear(weight: Array, x: Array, out: Array) -> None:
    """Compute out (O, N) = weight (O, I) x (>= I, N)."""
    out[:] = ZERO
    _accumulate(weight, x, out)


@kernel
def affine(weight: Array, bias: Array, x: Array, out: Array) -> None:
    """Compute out (O, N) = bias (O,) + weight (O, I) x (I, N)."""
    for o in range(out.shape[0]):
        out[o] = bias[o]
    _accumulate(weight, x, out)


@kernel
def _accumulate(weight: Array, x: Array, out: Array) -> None:
    # Two outputs by four inputs per pass: fewer loads and stores, each output's order unchanged.
    rows, inputs = weight.shape
    N = x.shape[1]
    whole = inputs - inputs % 4
    for o in range(0, rows - 1, 2):
        y, z = out[o], out[o + 1]
        for i in range(0, whole, 4):
            a, b, c, d = weight[o, i], weight[o, i + 1], weight[o, i + 2], weight[o, i + 3]
            e, f, g, h = weight[o + 1, i], weight[o + 1, i + 1], weight[o + 1, i + 2], weight[o + 1, i + 3]
            xa, xb, xc, xd = x[i], x[i + 1], x[i + 2], x[i + 3]
            for n in range(N):
                y[n] = (((y[n] + a * xa[n]) + b * xb[n]) + c * xc[n]) + d * xd[n]
                z[n] = (((z[n] + e * xa[n]) + f * xb[n]) + g * xc[n]) + h * xd[n]
        for i in range(whole, inputs):
            add_scaled(weight[o, i], x[i], y)
            add_scaled(weight[o + 1, i], x[i], z)
    for o in range(rows - rows % 2, rows):
        for i in range(inputs):
            add_scaled(weight[o, i], x[i], out[o])


@kernel
def add_scaled(scale: np.float32, x: Array, out: Array) -> None:
    """Add scale * x to out, (N,) each."""
    for n in range(x.shape[0]):
        out[n] = out[n] + scale * x[n]
