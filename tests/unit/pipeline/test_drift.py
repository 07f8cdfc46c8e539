"""The population stability index: codes, classes and the index itself by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.drift import ABSENT, BINS, CODES, DriftState, encode_values, observe


def codes_of(values: list[float]) -> list[int]:
    array = np.array(values)[np.newaxis, :, np.newaxis]
    return [int(code) for code in encode_values(array, np.ones(array.shape[:2], np.bool_))[0, :, 0]]


def test_codes_are_four_steps_an_octave_around_zero() -> None:
    assert codes_of([0.0, 2.0**-21, -(2.0**-21)]) == [96] * 3
    assert codes_of([2.0**-20, 2.0**-20 * 1.24, 2.0**-20 * 1.25, 2.0**-19]) == [97, 97, 98, 101]
    assert codes_of([-(2.0**-20), -1.0, 1.0]) == [95, 95 - 80, 97 + 80]
    assert codes_of([15.9, 16.0, 1e9, -1e9]) == [CODES - 1] * 3 + [0]


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_codes_ascend_with_the_value(values: list[float]) -> None:
    codes = codes_of(sorted(values))
    assert codes == sorted(codes)
    assert all(0 <= code < CODES for code in codes)


def test_absent_cells_are_not_counted() -> None:
    values = np.ones((2, 3, 1))
    present = np.array([[True, False, True], [False, False, True]])
    codes = encode_values(values, present)
    assert ((codes[..., 0] == ABSENT) == ~present).all()
    _, state = observe(codes, DriftState.initial(1), reference_windows=2, recent_windows=2)
    assert state.reference.sum() == 3


def test_the_index_is_what_the_formula_says() -> None:
    # Reference: half at 1, half at 2, so classes 2 and 7. Then a window of three ones and one two.
    reference, later = [1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 1.0, 2.0]
    values = np.array([reference, reference, later, later])[..., np.newaxis]
    codes = encode_values(values, np.ones(values.shape[:2], np.bool_))
    psi, state = observe(codes, DriftState.initial(1), reference_windows=2, recent_windows=2)
    assert np.isnan(psi[:3, 0]).all()
    assert state.n_windows == 4
    p = np.full(BINS, 0.05)
    p[[2, 7]] += 4
    p /= 8.5
    recent = np.zeros(BINS)
    recent[[2, 7]] = np.array([3.0, 1.0]) * (1 + 1 / 3)
    q = (recent + BINS * p) / (recent.sum() + BINS)
    assert psi[3, 0] == pytest.approx(float(((q - p) * np.log(q / p)).sum()), rel=1e-12)


def test_a_stream_that_stands_still_is_stable_and_one_that_moves_is_not() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(400, 40, 3))
    values[200:, :, 1] += 1.0
    values[200:, :, 2] *= 2.0
    codes = encode_values(values, np.ones(values.shape[:2], np.bool_))
    psi, _ = observe(codes, DriftState.initial(3), reference_windows=100, recent_windows=50)
    assert np.nanmax(psi[:200]) < 0.1
    assert psi[300:, 0].max() < 0.1
    assert psi[300:, 1].min() > 0.5
    assert psi[300:, 2].min() > 0.25


def test_a_feature_that_was_constant_and_varies_now_has_drifted() -> None:
    values = np.zeros((60, 20, 1))
    values[30:] = np.random.default_rng(0).normal(size=(30, 20, 1))
    codes = encode_values(values, np.ones(values.shape[:2], np.bool_))
    psi, _ = observe(codes, DriftState.initial(1), reference_windows=20, recent_windows=10)
    assert psi[29, 0] < 0.01
    assert psi[-1, 0] > 1.0


@given(st.lists(st.integers(0, 40), max_size=6))
def test_cuts_and_the_order_of_instruments_change_no_bit(cuts: list[int]) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(40, 7, 2))
    present = rng.random((40, 7)) < 0.7
    codes = encode_values(values, present)
    expected, last = observe(codes, DriftState.initial(2), reference_windows=15, recent_windows=5)
    state, found = DriftState.initial(2), []
    bounds = [0, *sorted(cuts), 40]
    for start, stop in pairwise(bounds):
        shuffled = codes[start:stop][:, rng.permutation(7)]
        psi, state = observe(shuffled, state, reference_windows=15, recent_windows=5)
        found.append(psi)
    assert np.concatenate(found).tobytes() == expected.tobytes()
    assert state.reference.tobytes() == last.reference.tobytes()
    assert state.recent.tobytes() == last.recent.tobytes()
