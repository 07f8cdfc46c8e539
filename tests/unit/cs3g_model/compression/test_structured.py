"""Structured pruning: what is removed, and that removing nothing of weight changes no score."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cs3g_model.compression.layout import axes_of, canonical, filters, groups_of
from cs3g_model.compression.structured import prune
from cs3g_model.config import StudentConfig
from cs3g_model.errors import CompressionError
from cs3g_model.inputs import initial_tensors, snapshot_tensors
from cs3g_model.student import Student
from cs3g_model.teacher_runtime import load_tensors
from tests.unit.cs3g_model.factories import make_snapshots, student_module, tensors_of

STUDENTS = {
    "default": StudentConfig(width=8, state_size=4, rank=4),
    "levels": StudentConfig(width=8, state_size=4, rank=4, wavelet_levels=3),
    "alone": StudentConfig(width=8, state_size=4, graph=False, relations=(), threshold="none"),
    "no wavelet": StudentConfig(width=8, state_size=4, rank=4, wavelet_levels=0),
    "supply": StudentConfig(width=8, state_size=4, rank=4, relations=("sector", "supply")),
}


def scores_of(config: StudentConfig, tensors: dict[str, np.ndarray]) -> np.ndarray:
    module = Student(config)
    load_tensors(module, tensors)
    x = snapshot_tensors(make_snapshots(T=20, N=11))
    with torch.inference_mode():
        output, _ = module(x, initial_tensors(module.state_shapes(), 11))
    return output.scores.numpy()


@pytest.mark.parametrize("name", STUDENTS)
def test_every_tensor_has_axes_and_a_group(name: str) -> None:
    config = STUDENTS[name]
    tensors = tensors_of(student_module(config))
    sizes = {"channel": 8, "unit": 8, "state": 4, "rank": 4}
    for tensor, array in tensors.items():
        axes = axes_of(tensor)
        assert len(axes) == array.ndim
        for size, axis in zip(array.shape, axes, strict=True):
            assert axis is None or size % sizes[axis] == 0
    assert sum(len(names) for names in groups_of(tensors).values()) == len(tensors)
    # A tensor of the student's own width has to name its axis, else pruning would leave it behind.
    assert {axis for t in tensors for axis in axes_of(t) if axis} >= {"channel", "unit", "state"}


def test_an_unknown_tensor_is_refused() -> None:
    with pytest.raises(CompressionError, match="surprise"):
        axes_of("surprise.weight")


@pytest.mark.parametrize("name", STUDENTS)
def test_folding_the_input_keeps_the_scores(name: str) -> None:
    config = STUDENTS[name]
    tensors = tensors_of(student_module(config))
    folded = canonical(config, tensors)
    np.testing.assert_allclose(scores_of(config, folded), scores_of(config, tensors), atol=2e-5)
    if config.wavelet_levels:
        assert not folded["inward.whole.weight"].any()
        assert (folded["inward.gain"] == 1).all()


@pytest.mark.parametrize("name", STUDENTS)
def test_removing_parts_that_are_zero_changes_no_score(name: str) -> None:
    config = STUDENTS[name]
    tensors = tensors_of(student_module(config, seed=3))
    tensors["outward.weight"] *= 10
    dead_channels, dead_units, dead_states = [1, 4, 7], [0, 2, 5], [0, 2]  # rates 2a and 4a stay tied
    for tensor, array in tensors.items():
        if tensor in ("inward.whole.weight", "inward.whole.bias", "inward.bands.weight"):
            array[dead_channels] = 0
        if tensor in ("hidden.weight", "hidden.bias"):
            array[dead_units] = 0
        if tensor in ("ssm.B.weight", "ssm.C.weight"):
            array[dead_states] = 0
    small, pruned = prune(config, tensors, width=5, state_size=2)
    assert (small.width, small.state_size, small.rank) == (5, 2, config.rank)
    assert {t: a.shape for t, a in pruned.items()} == {
        t: tuple(p.shape) for t, p in Student(small).state_dict().items()
    }
    scores = scores_of(config, tensors)
    assert np.abs(scores).max() > 0.5
    np.testing.assert_allclose(scores_of(small, pruned), scores, atol=1e-5)


def test_the_largest_filters_stay() -> None:
    config = STUDENTS["default"]
    tensors = tensors_of(student_module(config))
    for row in (2, 5):
        tensors["inward.whole.weight"][row] += 50
        tensors["hidden.weight"][row - 1] -= 50
        tensors["mixer.key.weight"][row - 2] += 50
    _, pruned = prune(config, tensors, width=2, rank=2)
    np.testing.assert_array_equal(pruned["outward.weight"], tensors["outward.weight"][:, [1, 4]])
    np.testing.assert_array_equal(pruned["ssm.D"], tensors["ssm.D"][[2, 5]])
    np.testing.assert_array_equal(pruned["ssm.delta.weight"], tensors["ssm.delta.weight"][[2, 5]][:, [2, 5]])
    np.testing.assert_array_equal(
        pruned["mixer.query.weight"], tensors["mixer.query.weight"][[0, 3]][:, [2, 5]]
    )
    parts = tensors["hidden.weight"].reshape(8, -1, 8)[[1, 4]][:, :, [2, 5]]
    np.testing.assert_array_equal(pruned["hidden.weight"], parts.reshape(2, -1))


def test_importance_is_the_l1_norm_of_the_folded_filters() -> None:
    config = STUDENTS["default"]
    tensors = tensors_of(student_module(config))
    W, V, g = (tensors[f"inward.{k}"] for k in ("whole.weight", "bands.weight", "gain"))
    row = np.concatenate([W[3] + g[3] * V[3, :12], W[3] + g[3] * V[3, 12:]])
    expected = np.abs(row).sum() + abs(tensors["inward.whole.bias"][3])
    np.testing.assert_allclose(filters(config, tensors)["channel"][3], expected, rtol=1e-5)
    # What the scan computes does not depend on how B and C share their size.
    scaled = tensors | {
        "ssm.B.weight": 4 * tensors["ssm.B.weight"],
        "ssm.C.weight": tensors["ssm.C.weight"] / 4,
    }
    np.testing.assert_allclose(filters(config, scaled)["state"], filters(config, tensors)["state"], rtol=1e-6)


def test_a_graph_factor_is_removed_from_both_sums() -> None:
    config = StudentConfig(width=6, rank=3)
    tensors = tensors_of(student_module(config))
    for name in ("query", "key"):
        tensors[f"mixer.{name}.weight"][1] *= 1e-3
    small, pruned = prune(config, tensors, rank=2)
    whole, smaller = Student(config), Student(small)
    load_tensors(whole, tensors)
    load_tensors(smaller, pruned)
    y, mask = torch.randn(5, 9, 6), torch.ones(5, 9, dtype=torch.bool)
    with torch.inference_mode():
        factors = tuple(f[..., [0, 2]] for f in whole.mixer.factors(y, mask))
        expected = whole.mixer(*factors, y)
        mixed = smaller.mixer(*smaller.mixer.factors(y, mask), y)
    torch.testing.assert_close(mixed, expected)


@pytest.mark.parametrize(
    ("sizes", "match"), [({"width": 0}, "width"), ({"state_size": 5}, "state_size"), ({"rank": 9}, "rank")]
)
def test_sizes_outside_the_student_are_refused(sizes: dict, match: str) -> None:
    config = STUDENTS["default"]
    with pytest.raises(CompressionError, match=match):
        prune(config, tensors_of(student_module(config)), **sizes)
