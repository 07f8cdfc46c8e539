"""The logarithm is the library's, to the last bit but one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cs3g_model.logarithm import logarithm


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-300, 1e300))
def test_logarithm_is_exact_to_rounding(x: float) -> None:
    assert logarithm(x) == pytest.approx(math.log(x), rel=4e-16, abs=2e-16)


def test_logarithm_of_one_is_zero() -> None:
    assert logarithm(1.0) == 0.0
