"""Exponentials in float32 from a few IEEE operations: the same bits on every CPU and for any cut of a run.

The library's functions differ between their scalar and vector forms and between machines; operations that
are rounded once, `fma` among them, cannot differ. The functions take float32 or `lanes`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from cs3g_model.jit import kernel
from cs3g_model.lanes import Lanes, fma, larger, magnitude, power_of_two, smaller

__all__ = ["exponential", "exponential_minus_1", "silu", "softplus"]

ONE: Final = np.float32(1.0)
ZERO: Final = np.float32(0.0)
_LOW: Final = np.float32(-87.0)
_HIGH: Final = np.float32(88.0)
_LOG2E: Final = np.float32(1.44269504088896341)
_ROUND: Final = np.float32(12582912.0)  # 1.5 * 2^23: adding and subtracting it rounds to an integer
_MINUS_LN2_HIGH: Final = np.float32(-0.693359375)  # few bits, so that n times it is exact
_MINUS_LN2_LOW: Final = np.float32(2.12194440e-4)
# Minimax polynomial of (exp(r) - 1 - r) / r^2 on |r| <= ln(2) / 2 (Cephes, expf).
_P0: Final = np.float32(1.9875691500e-4)
_P1: Final = np.float32(1.3981999507e-3)
_P2: Final = np.float32(8.3334519073e-3)
_P3: Final = np.float32(4.1665795894e-2)
_P4: Final = np.float32(1.6666665459e-1)
_P5: Final = np.float32(5.0000001201e-1)
# Minimax polynomial of log(1 + v) / v on 0 <= v <= 1, to 1.8e-7 in float32: no division, unlike atanh's series.
_L0: Final = np.float32(0.005232682917267084)
_L1: Final = np.float32(-0.02950519323348999)
_L2: Final = np.float32(0.07822588086128235)
_L3: Final = np.float32(-0.13663239777088165)
_L4: Final = np.float32(0.19106003642082214)
_L5: Final = np.float32(-0.2484298199415207)
_L6: Final = np.float32(0.3331909775733948)
_L7: Final = np.float32(-0.4999949336051941)
_L8: Final = np.float32(0.9999999403953552)


@kernel(inline=True)
def _reduced(x: Lanes) -> tuple[Lanes, Lanes]:
    # exp(x) = scale (1 + q)
    x = smaller(larger(x, _LOW), _HIGH)
    n = fma(x, _LOG2E, _ROUND) - _ROUND
    r = fma(n, _MINUS_LN2_LOW, fma(n, _MINUS_LN2_HIGH, x))
    p = fma(fma(fma(fma(fma(_P0, r, _P1), r, _P2), r, _P3), r, _P4), r, _P5)
    return fma(p * r, r, r), power_of_two(n)


@kernel(inline=True)
def exponential_minus_1(x: Lanes) -> Lanes:
    """exp(x) - 1 for x in [-87, 88], clamped to it; exactly 0 at 0."""
    q, scale = _reduced(x)
    return fma(scale, q, scale - ONE)


@kernel(inline=True)
def exponential(x: Lanes) -> Lanes:
    """exp(x) for x in [-87, 88], clamped to it."""
    q, scale = _reduced(x)
    return fma(scale, q, scale)


@kernel(inline=True)
def silu(x: Lanes) -> Lanes:
    """X / (1 + exp(-x))."""
    return x / (ONE + exponential(ZERO - x))


@kernel(inline=True)
def softplus(x: Lanes) -> Lanes:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))."""
    v = exponential(ZERO - magnitude(x))
    p = fma(fma(fma(fma(_L0, v, _L1), v, _L2), v, _L3), v, _L4)
    p = fma(fma(fma(fma(p, v, _L5), v, _L6), v, _L7), v, _L8)
    return fma(p, v, larger(x, ZERO))
