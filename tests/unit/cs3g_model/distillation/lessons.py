"""A small market, a teacher of it and what distillation needs, for tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cs3g_model.config import StudentConfig, TeacherConfig, TrainConfig
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.distillation.recipe import Recipe, Stage
from tests.unit.cs3g_model.factories import planted_market, teacher_module, tensors_of

TEACHER = TeacherConfig(width=8, layers=1, state_size=2, heads=2, rank=2, edges=4, dropout=0.0)
STUDENT = StudentConfig(width=6, state_size=2, rank=3)
FAST = TrainConfig(epochs=8, learning_rate=1e-2, chunk=10, average=0.8, checks=1)


def market(T: int = 60, N: int = 20) -> LabeledSnapshots:
    made = planted_market(T, N)
    return replace(made, snapshots=replace(made.snapshots, relations=(("correlation", 4),)))


def teacher_tensors(config: TeacherConfig = TEACHER, seed: int = 0) -> dict[str, np.ndarray]:
    return tensors_of(teacher_module(config, seed))


def one_stage(**losses: object) -> Recipe:
    return Recipe(stages=(Stage(name="all", losses=losses),))
