"""Properties of the serving kernel, the state and the metrics."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cs3g_model.config import StudentConfig
from cs3g_model.jit import kernel
from cs3g_model.lane_memory import load, store
from cs3g_model.lanes import LANES
from cs3g_model.metrics import rank_ic
from cs3g_model.state import HiddenState
from cs3g_model.student_runtime import StudentRuntime
from cs3g_model.vector_math import exponential, exponential_minus_1, silu, softplus
from tests.unit.cs3g_model.factories import (
    cut,
    make_runtime,
    make_snapshots,
    place,
    student_module,
    tensors_of,
)

Array = NDArray[np.float32]

floats = st.floats(-80, 80, width=32)


@st.composite
def runs(draw: st.DrawFn) -> tuple[int, int, int, float]:
    T, N = draw(st.integers(1, 12)), draw(st.integers(1, 40))
    return T, N, draw(st.integers(0, 2**20)), draw(st.sampled_from([0.2, 0.7, 1.0]))


@given(runs(), st.data())
@settings(max_examples=40, deadline=None)
def test_random_cuts_give_the_same_bits(run: tuple[int, int, int, float], data: st.DataObject) -> None:
    T, N, seed, presence = run
    model, s = make_runtime("student"), make_snapshots(T, N, seed=seed, presence=presence)
    whole, last = model.step_many(s, model.initial_state(N))
    stops = [*sorted(data.draw(st.sets(st.integers(1, T)))), T]
    state, start = model.initial_state(N), 0
    for stop in stops:
        scores, state = model.step_many(cut(s, start, stop), state)
        np.testing.assert_array_equal(scores, whole[start:stop])
        start = stop
    for name, array in last.arrays.items():
        np.testing.assert_array_equal(state.arrays[name], array)


@given(runs(), st.data())
@settings(max_examples=40, deadline=None)
def test_inserted_rows_change_no_bit(run: tuple[int, int, int, float], data: st.DataObject) -> None:
    T, N, seed, presence = run
    wide = N + data.draw(st.integers(0, 80))
    places = np.sort(np.random.default_rng(seed).permutation(wide)[:N])
    model, s = make_runtime("student"), make_snapshots(T, N, seed=seed, presence=presence)
    alone, _ = model.step_many(s, model.initial_state(N))
    among, _ = model.step_many(place(s, places, wide), model.initial_state(wide))
    np.testing.assert_array_equal(among[:, places], alone)


@given(st.integers(1, 20), st.integers(1, 9), st.integers(0, 4), st.floats(0.1, 3), st.integers(0, 99))
@settings(max_examples=6, deadline=None)
def test_any_configuration_is_finite_on_extreme_inputs(
    width: int, state_size: int, levels: int, scale: float, seed: int
) -> None:
    config = StudentConfig(width=width, state_size=state_size, wavelet_levels=levels, rank=3)
    tensors = tensors_of(student_module(config, seed=seed))
    model = StudentRuntime(config, {k: v * np.float32(scale) for k, v in tensors.items()}, "id")
    s = make_snapshots(T=20, N=9, seed=seed)
    s.features[s.mask] = 5.0 * np.sign(s.features[s.mask])
    scores, state = model.step_many(s, model.initial_state(9))
    assert np.isfinite(scores).all()
    assert all(np.isfinite(array).all() for array in state.arrays.values())


@given(st.integers(0, 9), st.lists(st.integers(-1, 8), max_size=12), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_reindexing_back_restores_the_state(N: int, index: list[int], seed: int) -> None:
    g = np.random.default_rng(seed)
    state = HiddenState({"h": g.standard_normal((3, N)).astype(np.float32)}, "id")
    chosen = np.array([i for i in index if i < N], np.int64)
    moved = state.reindex(chosen)
    assert moved.n_instruments == len(chosen)
    assert not moved.arrays["h"][:, chosen < 0].any()
    order = g.permutation(N)
    back = state.reindex(order).reindex(np.argsort(order))
    np.testing.assert_array_equal(back.arrays["h"], state.arrays["h"])
    assert HiddenState.from_bytes(moved.to_bytes(), "id").to_bytes() == moved.to_bytes()


@kernel
def apply_to_lanes(x: Array, out: Array) -> None:
    for n in range(0, len(x), LANES):
        store(out[0], n, exponential(load(x, n)))
        store(out[1], n, exponential_minus_1(load(x, n)))
        store(out[2], n, softplus(load(x, n)))
        store(out[3], n, silu(load(x, n)))


@kernel
def apply_to_scalars(x: Array, out: Array) -> None:
    for n in range(len(x)):
        out[0, n] = exponential(x[n])
        out[1, n] = exponential_minus_1(x[n])
        out[2, n] = softplus(x[n])
        out[3, n] = silu(x[n])


@given(st.lists(floats, min_size=1, max_size=50))
@settings(max_examples=300, deadline=None)
def test_vector_math_is_accurate_and_the_same_in_lanes(values: list[float]) -> None:
    x = np.zeros(-(-len(values) // LANES) * LANES, np.float32)
    x[: len(values)] = values
    wide = x.astype(np.float64)
    out, single = np.empty((4, len(x)), np.float32), np.empty((4, len(x)), np.float32)
    apply_to_lanes(x, out)
    apply_to_scalars(x, single)
    np.testing.assert_array_equal(out.view(np.int32), single.view(np.int32))
    np.testing.assert_allclose(out[0], np.exp(wide), rtol=3e-7)
    np.testing.assert_allclose(out[1], np.expm1(wide), rtol=5e-7)
    np.testing.assert_allclose(out[2], np.logaddexp(0, wide), rtol=5e-7, atol=2e-35)
    np.testing.assert_allclose(out[3], wide / (1 + np.exp(-wide)), rtol=6e-7, atol=1e-30)


@given(st.integers(0, 999))
@settings(max_examples=50, deadline=None)
def test_rank_ic_ignores_monotone_maps_and_order(seed: int) -> None:
    g = np.random.default_rng(seed)
    scores, labels = g.integers(-5, 5, (2, 4, 12)).astype(np.float64)
    mask = g.random((4, 12)) < 0.8
    series = rank_ic(scores, labels, mask)
    order = g.permutation(12)
    np.testing.assert_allclose(rank_ic(np.exp(scores), labels, mask), series)
    np.testing.assert_allclose(rank_ic(scores[:, order], labels[:, order], mask[:, order]), series)
    assert (np.abs(series[np.isfinite(series)]) <= 1 + 1e-12).all()
