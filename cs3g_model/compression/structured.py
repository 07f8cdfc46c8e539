"""Structured pruning: whole channels, units, states and graph factors, and everything that reads them."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from cs3g_model.compression.layout import Arrays, Axis, axes_of, filters
from cs3g_model.config import StudentConfig
from cs3g_model.errors import CompressionError

__all__ = ["prune"]

Kept = dict[Axis, NDArray[np.int64]]


def prune(
    config: StudentConfig,
    tensors: Arrays,
    *,
    width: int | None = None,
    state_size: int | None = None,
    rank: int | None = None,
) -> tuple[StudentConfig, Arrays]:
    """Remove the least important parts of a student (see `layout.filters`).

    Where the removed channels, units and states contribute 0, the smaller student computes the same scores.
    A graph factor always contributes: phi of `LowRankMixer` is above 0, so that one with zero weights
    still adds to the normalization. The fine-tuning that follows makes up for it.

    Parameters
    ----------
    config, tensors
        The student.
    width, state_size, rank
        D, S and R of the result; None keeps all.

    Returns
    -------
    tuple[StudentConfig, Arrays]
        The smaller student.

    Raises
    ------
    CompressionError
        If a size is below 1 or above the student's.
    """
    asked = {"width": width, "state_size": state_size, "rank": rank}
    sizes = {name: getattr(config, name) if size is None else size for name, size in asked.items()}
    for name, size in sizes.items():
        if not 1 <= size <= getattr(config, name):
            raise CompressionError(
                f"`{name}` (={size}) must be in [1, {getattr(config, name)}], the student's own"
            )
    importance = filters(config, tensors)
    states, multiple = _states(importance["state"], sizes["state_size"])
    kept: Kept = {
        "channel": _largest(importance["channel"], sizes["width"]),
        "unit": _largest(importance["unit"], sizes["width"]),
        "state": states,
    }
    if "rank" in importance:
        kept["rank"] = _largest(importance["rank"], sizes["rank"])
    out = {name: _slice(name, array, config, kept) for name, array in tensors.items()}
    out["ssm.A_log"] = out["ssm.A_log"] + np.float32(np.log(multiple))
    return msgspec.structs.replace(config, **sizes), out


def _largest(importance: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    # Of equals the first.
    return np.sort(np.argsort(-importance, kind="stable")[:count])


def _states(importance: NDArray[np.float64], count: int) -> tuple[NDArray[np.int64], int]:
    """Choose states whose rates are again tied: m a, 2 m a, ..., count m a for the best m; and m."""
    choices = {
        m: m * np.arange(1, count + 1, dtype=np.int64) - 1 for m in range(1, len(importance) // count + 1)
    }
    best = max(choices, key=lambda m: (importance[choices[m]].sum(), -m))
    return choices[best], best


def _slice(name: str, array: NDArray[np.float32], config: StudentConfig, kept: Kept) -> NDArray[np.float32]:
    sizes = {
        "channel": config.width,
        "unit": config.width,
        "state": config.state_size,
        "rank": config.rank,
    }
    for dimension, axis in enumerate(axes_of(name)):
        if axis is None or axis not in kept:
            continue
        # An axis may be repeated along a dimension, once for every part.
        repeats = array.shape[dimension] // sizes[axis]
        index = (np.arange(repeats)[:, None] * sizes[axis] + kept[axis]).ravel()
        array = array.take(index, axis=dimension)
    return np.ascontiguousarray(array)
