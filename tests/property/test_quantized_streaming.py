"""A quantized student streams as every model does: int8 `step` is the int8 batch bit for bit."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cs3g_model.compression.integer_inputs import integer_weights
from cs3g_model.compression.packing import values_of
from cs3g_model.compression.quantized import QuantizedStudent
from cs3g_model.inputs import initial_tensors, snapshot_tensors
from cs3g_model.state import HiddenState
from cs3g_model.student_runtime import StudentRuntime
from tests.unit.cs3g_model.factories import (
    SMALL_STUDENT,
    cut,
    make_snapshots,
    place,
    student_module,
    tensors_of,
)

BITS = {
    "weights": {"inward": 8, "delta": 8, "state": 8, "mixer": 8, "hidden": 8, "outward": 8, "rest": 16},
    "mixed": {"inward": 4, "delta": 6, "state": 3, "mixer": 2, "hidden": 5, "outward": 16, "rest": 32},
}


@cache
def make(name: str, activations: bool) -> StudentRuntime:
    tensors = tensors_of(student_module())
    model = QuantizedStudent(SMALL_STUDENT, tensors, BITS[name], activations=activations).train()
    with torch.no_grad():
        x = snapshot_tensors(make_snapshots(20, 15))
        model(x, initial_tensors(model.state_shapes(), 15))
    stored = model.stored()
    weights = integer_weights(SMALL_STUDENT, stored, model.grids()) if activations else None
    return StudentRuntime(SMALL_STUDENT, {n: values_of(t) for n, t in stored.items()}, "id", weights)


def assert_same(a: HiddenState, b: HiddenState) -> None:
    for name, array in a.arrays.items():
        np.testing.assert_array_equal(array, b.arrays[name])


@pytest.mark.parametrize("name", BITS)
@pytest.mark.parametrize("activations", [False, True])
@given(
    st.integers(1, 14), st.integers(1, 40), st.floats(0.1, 1), st.integers(0, 99), st.sets(st.integers(1, 13))
)
@settings(max_examples=15, deadline=None)
def test_every_cut_gives_the_same_bits(
    name: str, activations: bool, T: int, N: int, presence: float, seed: int, cuts: set[int]
) -> None:
    model, s = make(name, activations), make_snapshots(T, N, seed=seed, presence=presence)
    scores, end = model.step_many(s, model.initial_state(N))
    state, parts = model.initial_state(N), []
    edges = [0, *sorted(c for c in cuts if c < T), T]
    for start, stop in pairwise(edges):
        part, state = model.step_many(cut(s, start, stop), state)
        parts.append(part)
    np.testing.assert_array_equal(np.concatenate(parts), scores)
    assert_same(state, end)
    state = model.initial_state(N)
    for t in range(T):
        row, state = model.step(cut(s, t, t + 1), state)
        np.testing.assert_array_equal(row, scores[t])
    assert_same(state, end)


@given(st.integers(1, 20), st.integers(0, 30), st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_rows_that_never_tick_change_no_bit(N: int, idle: int, seed: int) -> None:
    model, s = make("weights", True), make_snapshots(6, N, seed=seed)
    wide = N + idle
    places = np.sort(np.random.default_rng(seed).permutation(wide)[:N])
    alone, _ = model.step_many(s, model.initial_state(N))
    among, _ = model.step_many(place(s, places, wide), model.initial_state(wide))
    np.testing.assert_array_equal(among[:, places], alone)


def test_an_absent_instrument_keeps_its_state() -> None:
    model, s = make("weights", True), make_snapshots(10, 12)
    s.mask[4:, 3] = False
    s.features[4:, 3] = 0.0
    _, before = model.step_many(cut(s, 0, 4), model.initial_state(12))
    scores, after = model.step_many(cut(s, 4, 10), before)
    assert not scores[:, 3].any()
    for name, array in before.arrays.items():
        np.testing.assert_array_equal(after.arrays[name][..., 3], array[..., 3])
