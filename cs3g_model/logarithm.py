"""The natural logarithm in +, -, *, /: the library's differs in its last bit between machines."""

from __future__ import annotations

import math

from cs3g_model.jit import kernel

__all__ = ["logarithm"]


@kernel
def logarithm(x: float) -> float:
    """Compute the natural logarithm of a positive normal number, in the same bits on every machine."""
    mantissa, exponent = math.frexp(x)
    if mantissa < 0.7071067811865476:
        mantissa *= 2.0
        exponent -= 1
    s = (mantissa - 1.0) / (mantissa + 1.0)  # |s| < 0.172, and log(mantissa) = 2 atanh(s)
    z = s * s
    series = 1.0 / 23.0
    for odd in range(21, 0, -2):
        series = series * z + 1.0 / odd
    return exponent * 0.6931471805599453 + 2.0 * s * series
