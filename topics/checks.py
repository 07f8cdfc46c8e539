"""What every run must keep, on the way out and on the way in: axes, shapes, finite numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from topics.errors import SchemaError

MAX_AXIS: Final = 1_000_000
"""Longest axis of a run."""


def check_axis(name: str, values: NDArray[Any]) -> None:
    """Refuse an axis that is not strictly ascending.

    Raises
    ------
    SchemaError
        Two neighbors are equal or descend.
    """
    if len(values) > MAX_AXIS:
        raise SchemaError(f"`{name}` has {len(values)} entries, allowed are {MAX_AXIS}", field_path=name)
    if (values[1:] <= values[:-1]).any():
        raise SchemaError(f"`{name}` must be strictly ascending", field_path=name)


def check_run_axes(
    size_ns: int, ts_close: NDArray[np.int64], instrument_ids: NDArray[np.uint32], symbols: Sequence[str]
) -> None:
    """Refuse axes that are not windows x named instruments.

    Raises
    ------
    SchemaError
        An axis does not ascend, a window is not on the grid of `size_ns`, an instrument is 0 or has no name.
    """
    if size_ns <= 0:
        raise SchemaError(f"`size_ns` (={size_ns}) must be > 0", field_path="size_ns")
    check_axis("ts_close", ts_close)
    check_axis("instrument_ids", instrument_ids)
    if (ts_close % size_ns).any():
        raise SchemaError(f"`ts_close` must be a multiple of `size_ns` (={size_ns})", field_path="ts_close")
    if len(instrument_ids) and instrument_ids[0] == 0:
        raise SchemaError("`instrument_ids` must be > 0: 0 is the heartbeat's", field_path="instrument_ids")
    if len(symbols) != len(instrument_ids):
        raise SchemaError(
            f"`symbols` has {len(symbols)} names for {len(instrument_ids)} instruments", field_path="symbols"
        )


def check_finite(name: str, values: NDArray[np.floating[Any]]) -> None:
    """Refuse NaN and infinities.

    Raises
    ------
    SchemaError
        A value is not finite.
    """
    if not np.isfinite(values).all():
        raise SchemaError(f"`{name}` must be finite everywhere", field_path=name)


def check_shape(name: str, values: NDArray[Any], shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    """Refuse an array of another shape or dtype.

    Raises
    ------
    SchemaError
        Shape or dtype differ.
    """
    if values.shape != shape or values.dtype != dtype:
        raise SchemaError(
            f"`{name}` must be {np.dtype(dtype)} of shape {shape}, was {values.dtype} of {values.shape}",
            field_path=name,
        )
