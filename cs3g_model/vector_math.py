"""Exponentials in float32 from +, -, *, / alone: the same bits scalar or vectorized, for any cut of a run.

The library's functions differ between their scalar and vector forms, and LLVM picks the form by the
trip count; plain IEEE operations cannot differ.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from cs3g_model.jit import kernel

__all__ = ["exponential", "exponential_minus_1", "silu", "softplus"]

ONE: Final = np.float32(1.0)
ZERO: Final = np.float32(0.0)
_LOW: Final = np.float32(-87.0)
_HIGH: Final = np.float32(88.0)
_LOG2E: Final = np.float32(1.44269504088896341)
_ROUND: Final = np.float32(12582912.0)  # 1.5 * 2^23: adding and subtracting it rounds to an integer
_LN2_HIGH: Final = np.float32(0.693359375)  # few bits, so that n * _LN2_HIGH is exact
_LN2_LOW: Final = np.float32(-2.12194440e-4)
# Minimax polynomial of (exp(r) - 1 - r) / r^2 on |r| <= ln(2) / 2 (Cephes, expf).
_P0: Final = np.float32(1.9875691500e-4)
_P1: Final = np.float32(1.3981999507e-3)
_P2: Final = np.float32(8.3334519073e-3)
_P3: Final = np.float32(4.1665795894e-2)
_P4: Final = np.float32(1.6666665459e-1)
_P5: Final = np.float32(5.0000001201e-1)
# log(1 + v) = 2 atanh(s), s = v / (2 + v) <= 1/3.
_TWO: Final = np.float32(2.0)
_L3: Final = np.float32(1 / 3)
_L5: Final = np.float32(1 / 5)
_L7: Final = np.float32(1 / 7)
_L9: Final = np.float32(1 / 9)
_L11: Final = np.float32(1 / 11)
_L13: Final = np.float32(1 / 13)


def _power_of_two_bits(typing_context: Any, n: Any) -> Any:

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = ir.IntType(32)
        exponent = builder.add(builder.fptosi(arguments[0], integer), integer(127))
        return builder.bitcast(builder.shl(exponent, integer(23)), ir.FloatType())

    return types.float32(types.float32), codegen


# 2^n of an integral float32 n in [-126, 127], by writing the exponent's bits.
_power_of_two: Any = intrinsic(_power_of_two_bits)


@kernel
def _reduced(x: np.float32) -> tuple[np.float32, np.float32]:
    # exp(x) = scale (1 + q)
    x = min(max(x, _LOW), _HIGH)
    n = (x * _LOG2E + _ROUND) - _ROUND
    r = x - n * _LN2_HIGH
    r = r - n * _LN2_LOW
    p = ((((_P0 * r + _P1) * r + _P2) * r + _P3) * r + _P4) * r + _P5
    return p * r * r + r, _power_of_two(n)


@kernel
def exponential_minus_1(x: np.float32) -> np.float32:
    """exp(x) - 1 for x in [-87, 88], clamped to it; exactly 0 at 0."""
    q, scale = _reduced(x)
    return scale * q + (scale - ONE)


@kernel
def exponential(x: np.float32) -> np.float32:
    """exp(x) for x in [-87, 88], clamped to it."""
    q, scale = _reduced(x)
    return scale * (ONE + q)


@kernel
def silu(x: np.float32) -> np.float32:
    """X / (1 + exp(-x))."""
    return x / (ONE + exponential(-x))


@kernel
def softplus(x: np.float32) -> np.float32:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))."""
    v = exponential(-abs(x))
    s = v / (_TWO + v)
    z = s * s
    series = (((((_L13 * z + _L11) * z + _L9) * z + _L7) * z + _L5) * z + _L3) * z + ONE
    return max(x, ZERO) + _TWO * s * series
