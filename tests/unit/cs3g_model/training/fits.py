"""A small fit for the tests of training, and ways to compare and to interrupt one."""

from __future__ import annotations

import numpy as np
import torch

from cs3g_model.config import StudentConfig, TeacherConfig, TrainConfig
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.training.loop import train
from cs3g_model.training.options import FitResult, Progress, RunOptions
from tests.unit.cs3g_model.factories import planted_market

TEACHER = TeacherConfig(width=8, layers=1, state_size=2, heads=1, rank=2, edges=4, dropout=0.2)
STUDENT = StudentConfig(width=8, state_size=2, rank=2)
SETTINGS = TrainConfig(epochs=2, chunk=8, checks=2, learning_rate=1e-2, average=0.8)

STEPS = 5
"""Updates in an epoch of `market`."""


class Killed(Exception):
    """Stands for a process that ends here."""


def market() -> LabeledSnapshots:
    return planted_market(T=60, N=20)


def small_fit(
    options: RunOptions | None = None,
    *,
    config: TeacherConfig | StudentConfig = TEACHER,
    settings: TrainConfig = SETTINGS,
    killed_at: int | None = None,
) -> FitResult:
    """Fit; with `killed_at` end by `Killed` after so many updates of this process."""
    updates = 0

    def told(_: Progress) -> None:
        nonlocal updates
        updates += 1
        if updates == killed_at:
            raise Killed

    torch.manual_seed(99)  # what a process happens to have drawn before must not matter
    return train(config, market(), settings, told, options)


def assert_same_fit(a: FitResult, b: FitResult) -> None:
    assert a.losses == b.losses
    assert a.valid_rank_ics == b.valid_rank_ics
    assert a.best_check == b.best_check
    assert list(a.tensors) == list(b.tensors)
    for name, tensor in a.tensors.items():
        np.testing.assert_array_equal(tensor, b.tensors[name], err_msg=name)
