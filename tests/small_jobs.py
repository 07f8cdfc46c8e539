"""A small universe for retraining jobs: snapshots of random prices, a teacher and students without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from cs3g_model.artifacts import save_artifact
from cs3g_model.config import StudentConfig, TeacherConfig
from cs3g_model.distillation.recipe import Recipe, Stage
from cs3g_model.student import Student
from cs3g_model.teacher import Teacher
from pipeline.graph_config import GraphConfig, InstrumentDirectory
from pipeline.offline import join_graph_runs, snapshots_from_ticks
from topics import tick_builders
from topics.runs import GraphRun
from topics.types import NANOS_PER_DAY

UNIVERSE = "small"
T0 = 18_000 * NANOS_PER_DAY
WINDOWS, INSTRUMENTS = 64, 8

TEACHER = TeacherConfig(width=8, layers=1, state_size=2, heads=1, rank=2, edges=3, graph_state_size=1)
STUDENT = StudentConfig(width=6, state_size=2, rank=2)
QUICK = Recipe(
    description="small",
    stages=(Stage(name="all", losses={"labels": 0.3, "soft": 0.7}),),
    training={"epochs": 1, "chunk": 8, "checks": 1},
)

GRAPH = GraphConfig(UNIVERSE, NANOS_PER_DAY, neighbors=2, lead_neighbors=2, lead_windows=16)
DIRECTORY = InstrumentDirectory(
    {i: f"S{i}" for i in range(1, INSTRUMENTS + 1)}, {i: i % 2 for i in range(1, INSTRUMENTS + 1)}
)


def small_graphs(windows: int = WINDOWS, seed: int = 0) -> GraphRun:
    """Daily windows in which each instrument trades three times."""
    rng = np.random.default_rng(seed)
    shape = (windows, 3, INSTRUMENTS)
    prices = 100 * np.exp(np.cumsum(0.02 * rng.standard_normal((windows * 3, INSTRUMENTS)), axis=0))
    times = (
        T0
        + NANOS_PER_DAY * np.arange(windows)[:, None, None]
        + 3_600 * 10**9 * np.array([9, 12, 15])[:, None]
    )
    trades = tick_builders.trades(
        instrument_id=np.broadcast_to(np.arange(1, INSTRUMENTS + 1), shape).ravel(),
        ts_event=np.broadcast_to(times, shape).ravel(),
        price=(prices * 1e9).astype(np.int64).ravel(),
        size=rng.integers(1, 99, windows * 3 * INSTRUMENTS),
    )
    return join_graph_runs(snapshots_from_ticks([(0, trades)], DIRECTORY, GRAPH, partitions=1))


def save_teacher(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    return save_artifact(folder, TEACHER, _tensors(Teacher(TEACHER)), seed=seed)


def save_student(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    return save_artifact(folder, STUDENT, _tensors(Student(STUDENT)), seed=seed)


def _tensors(module: torch.nn.Module) -> dict[str, np.ndarray]:
    # Heads begin at zero: a little noise makes scores that differ.
    noise = torch.Generator().manual_seed(torch.initial_seed())
    return {
        name: (value + 0.1 * torch.randn(value.shape, generator=noise)).detach().numpy().copy()
        for name, value in module.state_dict().items()
    }
