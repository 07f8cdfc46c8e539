"""Every streaming model by every check that its protocol promises."""

from __future__ import annotations

import numpy as np
import pytest

from cs3g_model.errors import ShapeError, StateMismatchError
from cs3g_model.protocol import StreamingModel
from cs3g_model.state import HiddenState
from tests.unit.cs3g_model.factories import cut, make_runtime, make_snapshots, place

ROLES = ("student", "teacher")


@pytest.fixture(params=ROLES)
def model(request: pytest.FixtureRequest) -> StreamingModel:
    return make_runtime(request.param)


def assert_same_state(a: HiddenState, b: HiddenState) -> None:
    assert a.arrays.keys() == b.arrays.keys()
    for name in a.arrays:
        np.testing.assert_array_equal(a.arrays[name], b.arrays[name], err_msg=name)


def test_model_satisfies_the_protocol(model: StreamingModel) -> None:
    assert isinstance(model, StreamingModel)
    assert model.role in ROLES
    assert model.warmup > 0


@pytest.mark.parametrize("stops", [(1, 2, 12), (5, 12), (3, 4, 9, 12)])
def test_any_cut_of_a_run_gives_the_same_bits(model: StreamingModel, stops: tuple[int, ...]) -> None:
    s = make_snapshots(T=12)
    whole, last = model.step_many(s, model.initial_state(15))
    state, start, pieces = model.initial_state(15), 0, []
    for stop in stops:
        scores, state = model.step_many(cut(s, start, stop), state)
        pieces.append(scores)
        start = stop
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    assert_same_state(state, last)
    assert np.abs(whole).max() > 0.01


def test_step_is_step_many_of_one_window(model: StreamingModel) -> None:
    s = make_snapshots(T=4)
    whole, last = model.step_many(s, model.initial_state(15))
    state = model.initial_state(15)
    for t in range(4):
        scores, state = model.step(cut(s, t, t + 1), state)
        np.testing.assert_array_equal(scores, whole[t])
    assert_same_state(state, last)


def test_rows_that_never_tick_change_no_bit(model: StreamingModel) -> None:
    s = make_snapshots(N=15)
    places = np.sort(np.random.default_rng(1).permutation(70)[:15])
    alone, _ = model.step_many(s, model.initial_state(15))
    wide = place(s, places, 70)
    among, state = model.step_many(wide, model.initial_state(70))
    np.testing.assert_array_equal(among[:, places], alone)
    others = np.setdiff1d(np.arange(70), places)
    assert not among[:, others].any()
    assert not any(array[..., others].any() for array in state.arrays.values())


def test_an_absent_instrument_is_an_exact_no_op(model: StreamingModel) -> None:
    s = make_snapshots()
    _, state = model.step_many(cut(s, 0, 6), model.initial_state(15))
    s.mask[6:, 3] = False
    scores, after = model.step_many(cut(s, 6, 12), state)
    for name, array in after.arrays.items():
        np.testing.assert_array_equal(array[..., 3], state.arrays[name][..., 3], err_msg=name)
    assert not scores[:, 3].any()


def test_values_of_the_absent_do_not_matter(model: StreamingModel) -> None:
    s = make_snapshots()
    clean, _ = model.step_many(s, model.initial_state(15))
    s.features[~s.mask] = 4.0
    dirty, _ = model.step_many(s, model.initial_state(15))
    np.testing.assert_array_equal(dirty, clean)


def test_permuting_instruments_permutes_scores(model: StreamingModel) -> None:
    s = make_snapshots()
    places = np.random.default_rng(2).permutation(15)
    scores, _ = model.step_many(s, model.initial_state(15))
    moved, _ = model.step_many(place(s, places, 15), model.initial_state(15))
    np.testing.assert_allclose(moved[:, places], scores, atol=1e-5)


def test_a_reindexed_state_goes_on_where_it_was(model: StreamingModel) -> None:
    s = make_snapshots()
    whole, _ = model.step_many(s, model.initial_state(15))
    _, state = model.step_many(cut(s, 0, 7), model.initial_state(15))
    grown = state.reindex(np.r_[np.arange(15), -1, -1])
    wide = place(cut(s, 7, 12), np.arange(15), 17)
    scores, _ = model.step_many(wide, grown)
    np.testing.assert_array_equal(scores[:, :15], whole[7:])


def test_nothing_after_a_window_changes_its_score(model: StreamingModel) -> None:
    s, other = make_snapshots(seed=0), make_snapshots(seed=9)
    before, _ = model.step_many(s, model.initial_state(15))
    for name in ("features", "mask", "neighbors", "neighbor_weights"):
        getattr(s, name)[8:] = getattr(other, name)[8:]
    after, _ = model.step_many(s, model.initial_state(15))
    np.testing.assert_array_equal(after[:8], before[:8])
    assert not np.array_equal(after[8:], before[8:])


def test_stepping_changes_neither_state_nor_snapshots(model: StreamingModel) -> None:
    s, copy = make_snapshots(), make_snapshots()
    _, state = model.step_many(s, model.initial_state(15))
    kept = {name: array.copy() for name, array in state.arrays.items()}
    model.step_many(s, state)
    for name, array in state.arrays.items():
        np.testing.assert_array_equal(array, kept[name])
    np.testing.assert_array_equal(s.features, copy.features)


def test_a_decoded_state_goes_on_bit_for_bit(model: StreamingModel) -> None:
    s = make_snapshots()
    _, state = model.step_many(cut(s, 0, 6), model.initial_state(15))
    decoded = HiddenState.from_bytes(state.to_bytes(), model.model_id)
    assert_same_state(decoded, state)
    a, _ = model.step_many(cut(s, 6, 12), state)
    b, _ = model.step_many(cut(s, 6, 12), decoded)
    np.testing.assert_array_equal(a, b)


def test_empty_windows_and_universes_are_fine(model: StreamingModel) -> None:
    s = make_snapshots()
    s.mask[:] = False
    state = model.initial_state(15)
    scores, after = model.step_many(s, state)
    assert not scores.any()
    assert_same_state(after, state)
    nobody, _ = model.step_many(make_snapshots(T=2, N=1, K=0, presence=0.0), model.initial_state(1))
    assert nobody.shape == (2, 1)
    alone, _ = model.step_many(make_snapshots(T=3, N=1, K=2, presence=2.0), model.initial_state(1))
    assert np.isfinite(alone).all()


def test_a_state_of_another_size_or_model_is_refused(model: StreamingModel) -> None:
    s = make_snapshots()
    with pytest.raises(StateMismatchError, match="reindex"):
        model.step_many(s, model.initial_state(14))
    with pytest.raises(StateMismatchError, match="warm up"):
        model.step_many(s, HiddenState(model.initial_state(15).arrays, "other"))


def test_wrong_arrays_are_refused(model: StreamingModel) -> None:
    with pytest.raises(ShapeError, match="features"):
        model.step_many(make_snapshots(F=11), model.initial_state(15))
    s = make_snapshots()
    s.neighbors[0, 0, 0] = 15
    with pytest.raises(ShapeError, match="neighbors"):
        model.step_many(s, model.initial_state(15))
    with pytest.raises(ShapeError, match="one window"):
        model.step(make_snapshots(T=2), model.initial_state(15))
