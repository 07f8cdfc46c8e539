"""Windows as arrays: one shape, and closes that are carried over what is absent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cs3g_model.errors import ShapeError
from cs3g_model.window_columns import (
    COLUMN_NAMES,
    FLOAT_COLUMNS,
    UNDEFINED_PRICE,
    WindowColumns,
    last_close_before,
)


def test_empty_windows_have_columns_of_the_kinds_that_are_named() -> None:
    columns = WindowColumns.zeros(np.array([1, 2, 3]), 4)
    for name in COLUMN_NAMES:
        array = getattr(columns, name)
        assert array.shape == columns.mask.shape == (3, 4)
        assert array.dtype == (np.float64 if name in FLOAT_COLUMNS else np.int64)
        assert not array.any()


def test_every_column_has_the_masks_shape() -> None:
    columns = WindowColumns.zeros(np.array([1, 2, 3]), 4)
    with pytest.raises(ShapeError, match="`close` must have the shape"):
        replace(columns, close=columns.close[:1])
    with pytest.raises(ShapeError, match="`ts_close` must have the shape"):
        replace(columns, ts_close=columns.ts_close[:1])


def test_a_close_is_carried_until_there_is_another() -> None:
    close = np.array([[5, 7], [6, 8], [9, 10]])
    mask = np.array([[True, False], [False, False], [True, True]])
    previous = last_close_before(close, mask, np.array([UNDEFINED_PRICE, 3]))
    np.testing.assert_array_equal(previous, [[UNDEFINED_PRICE, 3], [5, 3], [5, 3]])
