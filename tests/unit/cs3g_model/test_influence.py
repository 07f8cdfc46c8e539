"""Who moves whose score."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cs3g_model.config import StudentConfig
from cs3g_model.influence import influence
from cs3g_model.inputs import initial_tensors, snapshot_tensors
from cs3g_model.student import Student
from cs3g_model.teacher import Teacher
from tests.unit.cs3g_model.factories import make_snapshots, student_module, teacher_module


@pytest.mark.parametrize("make", [student_module, teacher_module])
def test_influence_is_what_a_small_change_does(make: type) -> None:
    model: Student | Teacher = make().double().eval()
    x = snapshot_tensors(make_snapshots(T=1, N=9, presence=1.0), torch.float64)
    state = initial_tensors(model.state_shapes(), 9, torch.float64)
    found = influence(model, x, state)
    step = 1e-5
    for j in (0, 4):
        up, down = (x.features.clone() for _ in range(2))
        up[0, j, 0] += step
        down[0, j, 0] -= step
        with torch.no_grad():
            high, low = (
                model(type(x)(f, x.mask, x.sector, x.neighbors, x.neighbor_weights, x.relations), state)[0]
                for f in (up, down)
            )
        slope = ((high.scores - low.scores)[0] / (2 * step)).numpy()
        np.testing.assert_allclose(found[:, j], slope, rtol=1e-4, atol=1e-7)


def test_without_messages_an_instrument_moves_itself_alone() -> None:
    model = student_module(StudentConfig(width=6, graph=False, relations=())).eval()
    x = snapshot_tensors(make_snapshots(T=1, N=7, presence=1.0))
    found = influence(model, x, initial_tensors(model.state_shapes(), 7))
    assert (np.abs(np.diag(found)) > 0).all()
    assert np.abs(found - np.diag(np.diag(found))).max() == 0
