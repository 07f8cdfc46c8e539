"""The objective that holds a student to a reference."""

from __future__ import annotations

import pytest
import torch

from cs3g_model.compression.settings import AnchoredObjective
from cs3g_model.inputs import ModelOutput, initial_tensors, snapshot_tensors
from cs3g_model.training.batch import Batch, Objective
from tests.unit.cs3g_model.factories import make_snapshots, student_module


class Constant(Objective):
    def __call__(self, output: ModelOutput, batch: Batch) -> torch.Tensor:
        return torch.tensor(5.0)


def make_batch(mask: torch.Tensor) -> Batch:
    model = student_module()
    x = snapshot_tensors(make_snapshots(2, 3))
    return Batch(1, 3, mask, x, initial_tensors(model.state_shapes(), 3), model)


def test_the_loss_is_as_computed_by_hand() -> None:
    reference = torch.tensor([[0.0, 9.0, 9.0], [1.0, 3.0, 0.0], [2.0, 4.0, 6.0]])
    present = torch.tensor([9.0, 9.0, 1.0, 3.0, 2.0, 4.0, 6.0])
    c = 1 / present.std()
    scores = torch.tensor([[1.0, 2.0, 7.0], [2.0, 2.0, 2.0]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    error = (c * torch.tensor([0.0, 1.0])).square().mean() + (
        c * torch.tensor([0.0, 2.0, 4.0])
    ).square().mean()
    output = ModelOutput(scores=scores, hidden=torch.zeros(2, 3, 1))
    for anchor in (0.0, 0.25, 1.0):
        loss = AnchoredObjective(Constant(), reference, anchor)(output, make_batch(mask))
        assert float(loss) == pytest.approx(anchor * float(error) / 2 + (1 - anchor) * 5.0, rel=1e-6)


def test_a_reference_that_does_not_vary_gives_a_finite_loss() -> None:
    output = ModelOutput(scores=torch.ones(2, 3), hidden=torch.zeros(2, 3, 1))
    batch = make_batch(torch.ones(2, 3, dtype=torch.bool))
    assert float(AnchoredObjective(Constant(), torch.zeros(3, 3), 1.0)(output, batch)) == 1.0
