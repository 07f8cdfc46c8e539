"""Cross-sectional normalization: robust, stateless, of one window at a time, so nothing looks ahead."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model.errors import ShapeError
from cs3g_model.jit import kernel

__all__ = ["NORMALIZED_LIMIT", "normalize"]

NORMALIZED_LIMIT: Final = 5.0
_MAD_TO_SIGMA: Final = 1.4826  # of a normal distribution
_MEAN_DEVIATION_TO_SIGMA: Final = 1.2533141373155  # sqrt(pi / 2)
_SCALE_FLOOR: Final = 1e-9  # far below any real dispersion, far above the rounding noise of a constant


def normalize(raw: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Standardize every feature of every window across the present instruments, robustly.

    (x - median) / (sigma + 1e-9), clipped at +-5, where sigma is 1.4826 times the median absolute deviation
    or, where that is 0 because more than half of the instruments share a value, 1.2533 times the mean one
    (the modified z-score of Iglewicz & Hoaglin 1993). A feature that is constant over the instruments is 0.

    Parameters
    ----------
    raw
        (T, N, F) float64, finite.
    mask
        (T, N) bool, whether the instrument is present.

    Returns
    -------
    (T, N, F) float32; 0 where absent; always finite.

    Raises
    ------
    ShapeError
        If shapes differ.
    """
    if raw.ndim != 3 or raw.shape[:2] != mask.shape:
        raise ShapeError(f"`raw` must have the shape {(*mask.shape, 'F')}, was {raw.shape}")
    out = np.zeros(raw.shape, np.float32)
    _fill_normalized(np.ascontiguousarray(raw), np.ascontiguousarray(mask), out)
    return out


@kernel
def _median(values: NDArray[np.float64], count: int) -> float:
    # Selection by partitions that do not branch on values, whose order no processor foretells; reorders values[:count].
    middle = count // 2
    left, right = 0, count
    while right - left > 1:
        a, b, c = values[left], values[(left + right) // 2], values[right - 1]
        pivot = max(min(a, b), min(max(a, b), c))
        below = left
        for i in range(left, right):
            value = values[i]
            values[i] = values[below]
            values[below] = value
            below += int(value < pivot)
        if middle < below:
            right = below
            continue
        equal = below
        for i in range(below, right):
            value = values[i]
            values[i] = values[equal]
            values[equal] = value
            equal += int(value == pivot)
        if middle < equal:
            break
        left = equal
    upper = float(values[middle])
    if count % 2 == 1:
        return upper
    lower = float(values[0])  # everything left of the middle is at most `upper`
    for i in range(1, middle):
        lower = max(lower, values[i])
    return 0.5 * (lower + upper)


@kernel
def _fill_normalized(raw: NDArray[np.float64], mask: NDArray[np.bool_], out: NDArray[np.float32]) -> None:
    windows, instruments, features = raw.shape
    buffer = np.empty(instruments, np.float64)
    for t in range(windows):
        for f in range(features):
            count = 0
            for n in range(instruments):
                if mask[t, n]:
                    buffer[count] = raw[t, n, f]
                    count += 1
            if count < 2:
                continue
            center = _median(buffer, count)
            count = 0
            total = 0.0
            for n in range(instruments):
                if mask[t, n]:
                    deviation = abs(raw[t, n, f] - center)
                    buffer[count] = deviation
                    total += deviation
                    count += 1
            scale = _MAD_TO_SIGMA * _median(buffer, count)
            if scale == 0.0:
                scale = _MEAN_DEVIATION_TO_SIGMA * (total / count)
            scale += _SCALE_FLOOR
            for n in range(instruments):
                if mask[t, n]:
                    z = (raw[t, n, f] - center) / scale
                    out[t, n, f] = min(max(z, -NORMALIZED_LIMIT), NORMALIZED_LIMIT)
