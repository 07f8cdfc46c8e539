"""The hidden state as a value and as bytes."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save

from cs3g_model.errors import ShapeError, StateDecodeError, StateMismatchError
from cs3g_model.state import HiddenState


def make_state(N: int = 4) -> HiddenState:
    g = np.random.default_rng(0)
    return HiddenState(
        {"a": g.standard_normal((2, 3, N)).astype(np.float32), "b": np.ones((5, N), np.float32)}, "m" * 16
    )


def test_reindex_moves_columns_and_starts_fresh_rows() -> None:
    state = make_state()
    moved = state.reindex(np.array([2, -1, 0]))
    np.testing.assert_array_equal(moved.arrays["a"][..., 0], state.arrays["a"][..., 2])
    np.testing.assert_array_equal(moved.arrays["a"][..., 2], state.arrays["a"][..., 0])
    assert not moved.arrays["a"][..., 1].any()
    assert moved.n_instruments == 3
    assert state.n_instruments == 4


@pytest.mark.parametrize("index", [[4], [-2], [[0]]])
def test_reindex_refuses_places_that_do_not_exist(index: list[int]) -> None:
    with pytest.raises(ShapeError, match="index"):
        make_state().reindex(np.array(index))


@pytest.mark.parametrize("N", [0, 1, 7])
def test_bytes_round_trip(N: int) -> None:
    state = make_state(N)
    back = HiddenState.from_bytes(state.to_bytes(), "m" * 16)
    assert back.model_id == state.model_id
    assert back.n_instruments == N
    for name, array in state.arrays.items():
        np.testing.assert_array_equal(back.arrays[name], array)


def test_equal_states_are_equal_bytes() -> None:
    assert len({make_state().to_bytes() for _ in range(20)}) == 1


def test_a_state_of_another_model_is_refused() -> None:
    with pytest.raises(StateMismatchError) as caught:
        HiddenState.from_bytes(make_state().to_bytes(), "x" * 16)
    assert (caught.value.expected, caught.value.actual) == ("x" * 16, "m" * 16)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 40,
        make_state().to_bytes()[:-1],
        save({"a": np.zeros((1, 2), np.float32)}),
        save({"a": np.zeros((1, 2), np.float32)}, metadata={"cs3g-hidden-state-2": "m"}),
        save(
            {"a": np.zeros((1, 2), np.float32), "b": np.zeros((1, 3), np.float32)},
            metadata={"cs3g-hidden-state-1": "m" * 16},
        ),
        save({"a": np.zeros((1, 2))}, metadata={"cs3g-hidden-state-1": "m" * 16}),
    ],
)
def test_bytes_that_are_no_state_are_refused(data: bytes) -> None:
    with pytest.raises(StateDecodeError):
        HiddenState.from_bytes(data, "m" * 16)
