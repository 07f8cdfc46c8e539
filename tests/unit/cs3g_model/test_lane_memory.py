"""Vectors between arrays and registers: what is moved where, and that nothing beyond is touched."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from cs3g_model.lane_memory import element, load, load_first, put, spread, store, store_first, transpose
from cs3g_model.lanes import LANES, bits_at_least, count_bits, lowest_bit

Array = NDArray[np.float32]


@numba.njit
def move(x: Array, out: Array, turned: Array, count: int) -> int:
    store_first(out, 1, load_first(x, 0, count), count)
    transpose(x, 0, LANES, turned, 0, LANES)
    bits = bits_at_least(load(x, 0), np.float32(9))
    return 100 * lowest_bit(bits) + count_bits(bits)


def test_rows_turn_and_ends_are_not_passed() -> None:
    x = np.arange(LANES * LANES, dtype=np.float32).reshape(LANES, LANES)
    out, turned = np.full(LANES + 2, -1, np.float32), np.empty_like(x)
    assert move(x, out, turned, 5) == 907
    np.testing.assert_array_equal(turned, x.T)
    np.testing.assert_array_equal(out, [-1, 0, 1, 2, 3, 4, *[-1] * 12])


@numba.njit
def copy(x: Array, out: Array) -> None:
    store(out, 1, load(x, 2))
    put(out, LANES + 1, element(x, 0))
    store(out, LANES + 2, spread(x, 5))


def test_places_count_elements_whatever_the_rank() -> None:
    x = np.arange(4 * LANES, dtype=np.float32).reshape(4, LANES)
    out = np.full((4, LANES), -1, np.float32)
    copy(x, out)
    expected = [-1, *range(2, LANES + 2), 0, *[5] * LANES]
    np.testing.assert_array_equal(out.ravel()[: len(expected)], expected)
    assert (out.ravel()[len(expected) :] == -1).all()
