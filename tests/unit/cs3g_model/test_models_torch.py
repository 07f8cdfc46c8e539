"""Torch modules: `forward` over a run equals folded `step`, and the kernel equals the module."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cs3g_model.config import StudentConfig, TeacherConfig
from cs3g_model.inputs import initial_tensors, snapshot_tensors, state_to_arrays
from cs3g_model.student_runtime import StudentRuntime
from tests.unit.cs3g_model.factories import (
    cut,
    make_runtime,
    make_snapshots,
    student_module,
    teacher_module,
    tensors_of,
)

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
TEACHERS = {
    "default": TeacherConfig(width=8, heads=2, rank=3, edges=4),
    "universal": TeacherConfig(width=8, heads=2, rank=3, edges=4, threshold="universal"),
    "stateless graph": TeacherConfig(width=8, heads=2, graph_state_size=0),
    "no graph": TeacherConfig(width=8, heads=2, graph=False, relations=()),
    "no relations": TeacherConfig(width=8, heads=2, relations=()),
    "more edges than nodes": TeacherConfig(width=8, heads=1, edges=40),
    "no wavelet": TeacherConfig(width=8, heads=2, wavelet_levels=0),
}
STUDENTS = {
    "default": StudentConfig(),
    "odd sizes": StudentConfig(width=7, state_size=3, rank=5, wavelet_levels=3),
    "no graph": StudentConfig(width=6, graph=False),
    "no relations": StudentConfig(width=6, relations=()),
    "alone": StudentConfig(width=6, graph=False, relations=(), threshold="none"),
    "no wavelet": StudentConfig(width=6, wavelet_levels=0),
}


def make_module(name: str) -> torch.nn.Module:
    if name.startswith("student "):
        return student_module(STUDENTS[name.removeprefix("student ")])
    return teacher_module(TEACHERS[name.removeprefix("teacher ")])


NAMES = [f"teacher {name}" for name in TEACHERS] + [f"student {name}" for name in STUDENTS]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_forward_equals_folded_step(name: str, dtype: torch.dtype) -> None:
    module = make_module(name).to(dtype)
    x = snapshot_tensors(make_snapshots(T=14, N=18), dtype)
    state = initial_tensors(module.state_shapes(), 18, dtype)
    with torch.inference_mode():
        output, after = module(x, state)
        for t in range(14):
            scores, state = module.step(x.window(t, t + 1), state)
            assert (scores - output.scores[t]).abs().max() <= TOLERANCE[dtype]
    assert after.keys() == state.keys()
    for key in after:
        assert (after[key] - state[key]).abs().max() <= TOLERANCE[dtype], key
    assert output.scores.abs().max() > 0.01


@pytest.mark.parametrize("name", STUDENTS)
def test_kernel_equals_the_module(name: str) -> None:
    config, module = STUDENTS[name], student_module(STUDENTS[name])
    s = make_snapshots(T=30, N=45, K=6)
    with torch.inference_mode():
        output, after = module(snapshot_tensors(s), initial_tensors(module.state_shapes(), 45))
    runtime = StudentRuntime(config, tensors_of(module), "id")
    scores, state = runtime.step_many(s, runtime.initial_state(45))
    np.testing.assert_allclose(scores, output.scores.numpy(), atol=1e-5)
    for key, array in state_to_arrays(after).items():
        np.testing.assert_allclose(state.arrays[key], array, atol=1e-5, err_msg=key)


def test_teacher_runtime_equals_the_module() -> None:
    s, module = make_snapshots(), teacher_module()
    with torch.inference_mode():
        output, _ = module(snapshot_tensors(s), initial_tensors(module.state_shapes(), 15))
    runtime = make_runtime("teacher")
    scores, _ = runtime.step_many(s, runtime.initial_state(15))
    np.testing.assert_allclose(scores, output.scores.numpy(), atol=1e-5)


@pytest.mark.parametrize("part", ["features", "mask", "sector", "neighbors", "neighbor_weights"])
@pytest.mark.parametrize("role", ["student", "teacher"])
def test_every_input_reaches_the_scores_of_others(role: str, part: str) -> None:
    runtime = make_runtime(role)
    s, changed = make_snapshots(T=1, presence=1.0), make_snapshots(T=1, presence=1.0)
    if part == "features":
        changed.features[0, 0] += 1
    elif part == "mask":
        changed.mask[0, 0] = False
    elif part == "sector":
        s.sector[:] = 0
        changed.sector[:] = 0
        changed.sector[0] = 1
    elif part == "neighbors":
        changed.neighbors[0, 1:] = 0
    else:
        changed.neighbor_weights[0, 1:] = np.abs(changed.neighbor_weights[0, 1:]) + 0.3
    a, _ = runtime.step(s, runtime.initial_state(15))
    b, _ = runtime.step(changed, runtime.initial_state(15))
    assert np.abs(a[1:] - b[1:]).max() > 1e-6


def test_gradients_reach_every_parameter() -> None:
    for module in (teacher_module(), student_module()):
        x = snapshot_tensors(make_snapshots(T=10))
        output, _ = module(x, initial_tensors(module.state_shapes(), 15))
        loss = output.scores.square().mean()
        if output.log_dispersion is not None:
            loss = loss + output.log_dispersion.square().mean()
        loss.backward()
        for name, p in module.named_parameters():
            assert p.grad is not None, name
            assert torch.isfinite(p.grad).all(), name
            assert p.grad.abs().max() > 0, name


def test_a_run_goes_on_from_the_state_of_another() -> None:
    module = teacher_module()
    s = make_snapshots()
    start = initial_tensors(module.state_shapes(), 15)
    with torch.inference_mode():
        whole, _ = module(snapshot_tensors(s), start)
        _, state = module(snapshot_tensors(cut(s, 0, 5)), start)
        rest, _ = module(snapshot_tensors(cut(s, 5, 12)), state)
    np.testing.assert_allclose(rest.scores, whole.scores[5:], atol=1e-5)
