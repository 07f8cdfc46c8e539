"""The brain surgeon against least squares by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from cs3g_model.compression.brain_surgeon import inverse_hessian, remove_weights, sparsify
from cs3g_model.compression.layout import canonical, is_prunable
from cs3g_model.config import StudentConfig
from cs3g_model.errors import CompressionError
from cs3g_model.student_runtime import StudentRuntime
from tests.unit.cs3g_model.factories import SMALL_STUDENT, make_snapshots, student_module, tensors_of


def problem(seed: int, rows: int = 3, columns: int = 6) -> tuple[np.ndarray, np.ndarray]:
    g = np.random.default_rng(seed)
    # Correlated, and unlike in size.
    inputs = g.standard_normal((40, columns)) @ g.standard_normal((columns, columns))
    return g.standard_normal((rows, columns)), inputs


def best_without(row: np.ndarray, inputs: np.ndarray, removed: list[int]) -> tuple[np.ndarray, float]:
    """The least-squares row with some weights 0, and half the Hessian's error of it."""
    kept = [i for i in range(len(row)) if i not in removed]
    out = np.zeros_like(row)
    out[kept] = np.linalg.lstsq(inputs[:, kept], inputs @ row, rcond=None)[0]
    return out, float(((inputs @ (out - row)) ** 2).sum())


@pytest.mark.parametrize("seed", range(5))
def test_one_removal_is_the_best_of_all(seed: int) -> None:
    weight, inputs = problem(seed)
    thinned = remove_weights(weight, inverse_hessian(inputs, 1e-12), 1)
    for row, out in zip(weight, thinned, strict=True):
        tried = [best_without(row, inputs, [q]) for q in range(len(row))]
        expected, _ = min(tried, key=lambda found: found[1])
        np.testing.assert_allclose(out, expected, atol=1e-6)
        assert (out == 0).sum() == 1


@pytest.mark.parametrize("seed", range(5))
def test_every_removal_leaves_the_least_squares_of_the_rest(seed: int) -> None:
    weight, inputs = problem(seed)
    inverse = inverse_hessian(inputs, 1e-12)
    for row in weight:
        removed: list[int] = []
        for count in range(1, 6):
            # The greedy search by brute force.
            tried = {
                q: best_without(row, inputs, [*removed, q])[1] for q in range(len(row)) if q not in removed
            }
            removed.append(min(tried, key=lambda q: tried[q]))
            out = remove_weights(row[None], inverse, count)[0]
            assert set(np.flatnonzero(out == 0)) == set(removed)
            np.testing.assert_allclose(out, best_without(row, inputs, removed)[0], atol=1e-5)


def test_the_cost_of_a_removal_is_its_saliency() -> None:
    weight, inputs = problem(1, rows=1)
    inverse = inverse_hessian(inputs, 1e-12)
    saliency = weight[0] ** 2 / (2 * np.diag(inverse))
    errors = [best_without(weight[0], inputs, [q])[1] for q in range(6)]
    np.testing.assert_allclose(saliency, errors, rtol=1e-6)


def test_dependent_and_dead_inputs_are_borne() -> None:
    weight, inputs = problem(2)
    inputs[:, 3] = 0.0
    inputs[:, 4] = inputs[:, 5]
    thinned = remove_weights(weight, inverse_hessian(inputs), 2)
    assert np.isfinite(thinned).all()
    # Nothing is lost: one input says nothing, another repeats its twin.
    np.testing.assert_allclose(inputs @ thinned.T, inputs @ weight.T, atol=1e-3)
    assert not remove_weights(weight, inverse_hessian(np.zeros((4, 6))), 6).any()


def test_a_thinned_student_errs_less_than_by_magnitude() -> None:
    config = StudentConfig(width=12, state_size=2, rank=4)
    tensors = canonical(config, tensors_of(student_module(config)))
    s, other = make_snapshots(60, 30, seed=1), make_snapshots(60, 30, seed=2)
    mix = np.random.default_rng(0).standard_normal((12, 4)) @ np.random.default_rng(1).standard_normal(
        (4, 12)
    )
    for run in (s, other):  # features go together, as real ones do
        run.features[...] = run.features @ (np.eye(12) * 0.3 + mix * 0.2).astype(np.float32)

    def scores(weights: dict[str, np.ndarray]) -> np.ndarray:
        runtime = StudentRuntime(config, weights, "id")
        return runtime.step_many(other, runtime.initial_state(30))[0]

    thinned = sparsify(config, tensors, s, 0.5)
    by_size = {}
    for name, array in tensors.items():
        by_size[name] = array.copy()
        if is_prunable(name) and array.any():
            count = round(0.5 * array.shape[1])
            assert ((thinned[name] == 0).sum(1) == count).all()
            smallest = np.argsort(np.abs(array), axis=1)[:, :count]
            np.put_along_axis(by_size[name], smallest, 0.0, axis=1)
        elif not is_prunable(name):
            np.testing.assert_array_equal(thinned[name], array)
    plain = scores(tensors)
    surgeon, magnitude = (np.abs(scores(w) - plain).mean() for w in (thinned, by_size))
    assert surgeon < 0.8 * magnitude
    np.testing.assert_allclose(scores(sparsify(config, tensors, s, 0.0)), plain, atol=1e-6)


def test_bad_settings_are_refused() -> None:
    weight, inputs = problem(0)
    with pytest.raises(CompressionError, match="count"):
        remove_weights(weight, inverse_hessian(inputs), 7)
    with pytest.raises(CompressionError, match="damping"):
        inverse_hessian(inputs, 0.0)
    with pytest.raises(CompressionError, match="finite"):
        inverse_hessian(inputs * np.nan)
    tensors = tensors_of(student_module())
    with pytest.raises(CompressionError, match="sparsity"):
        sparsify(SMALL_STUDENT, tensors, make_snapshots(), 1.0)
    with pytest.raises(CompressionError, match="present"):
        sparsify(SMALL_STUDENT, tensors, make_snapshots(presence=0.0), 0.5)
