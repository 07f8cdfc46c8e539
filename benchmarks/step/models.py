"""The models and runs that the step is measured on, and the peers' copy of the same parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch

from cs3g_model.config import StudentConfig, TeacherConfig
from cs3g_model.snapshots import Snapshots
from cs3g_model.student import Student
from cs3g_model.student_runtime import StudentRuntime
from cs3g_model.student_weights import pack_weights
from cs3g_model.teacher import Teacher
from cs3g_model.teacher_runtime import TeacherRuntime

ASKED: Final = StudentConfig(n_features=8, width=16, state_size=4, rank=8, relations=())
"""The configuration that the targets are for: D = 16, S = 4, F = 8, R = 8."""

SHIPPED: Final = StudentConfig()
"""The shipped student's: F = 12, and messages by sector, correlation and lead."""

SLOTS: Final = 8
"""Neighbors of an instrument by each edge relation."""


def student(config: StudentConfig) -> tuple[StudentRuntime, dict[str, np.ndarray]]:
    """Make a student with random weights; return its tensors as well."""
    torch.manual_seed(0)
    module = Student(config)
    tensors = _tensors(module)
    return StudentRuntime(config, tensors, "benchmark"), tensors


def teacher() -> TeacherRuntime:
    """Make a teacher of the default configuration with random weights."""
    torch.manual_seed(0)
    config = TeacherConfig()
    return TeacherRuntime(config, _tensors(Teacher(config)), "benchmark")


def _tensors(module: torch.nn.Module) -> dict[str, np.ndarray]:
    with torch.no_grad():
        for p in module.parameters():  # some start at 0
            p.add_(0.1 * torch.randn_like(p))
    return {name: tensor.detach().numpy().copy() for name, tensor in module.state_dict().items()}


def run(T: int, N: int, F: int, *, neighbors: bool) -> Snapshots:
    """Make a run in which every instrument is present."""
    g = np.random.default_rng(N)
    K = 2 * SLOTS if neighbors else 0
    relations = (("correlation", SLOTS), ("lead", SLOTS)) if neighbors else ()
    return Snapshots(
        features=g.standard_normal((T, N, F)).clip(-5, 5).astype(np.float32),
        mask=np.ones((T, N), np.bool_),
        sector=g.integers(0, 11, N).astype(np.int16),
        neighbors=g.integers(0, N, (T, N, K)).astype(np.int32),
        neighbor_weights=g.uniform(-1, 1, (T, N, K)).astype(np.float32),
        relations=relations,
    )


def write_for_peers(path: Path, config: StudentConfig, tensors: dict[str, np.ndarray]) -> None:
    """Write the parameters of a student without relations as `peers/plain_step.py` reads them."""
    w = pack_weights(config, tensors)
    rates = w.A[:, None] * np.arange(1, config.state_size + 1, dtype=np.float32)
    np.savez(
        path,
        threshold=w.threshold[0],
        inward=w.inward,
        inward_bias=w.inward_bias,
        delta=w.delta,
        delta_bias=w.delta_bias,
        A=rates,
        B=w.B,
        C=w.C,
        D=w.D,
        query=w.query,
        key=w.key,
        hidden=np.ascontiguousarray(w.hidden[:, : 2 * config.width]),
        hidden_bias=w.hidden_bias,
        outward=w.outward,
        outward_bias=w.outward_bias,
    )
