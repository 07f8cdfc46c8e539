"""Runs of snapshots and models for tests."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch

from cs3g_model.config import StudentConfig, TeacherConfig
from cs3g_model.constants import RELATION_SCALE
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.protocol import StreamingModel
from cs3g_model.snapshots import Snapshots
from cs3g_model.student import Student
from cs3g_model.student_runtime import StudentRuntime
from cs3g_model.teacher import Teacher
from cs3g_model.teacher_runtime import TeacherRuntime

M = TypeVar("M", bound=torch.nn.Module)

SMALL_TEACHER = TeacherConfig(width=8, layers=2, state_size=3, heads=2, rank=3, edges=4, dropout=0.0)
SMALL_STUDENT = StudentConfig(width=6, state_size=3, rank=4)


def make_snapshots(
    T: int = 12, N: int = 15, F: int = 12, K: int = 4, seed: int = 0, presence: float = 0.8
) -> Snapshots:
    g = np.random.default_rng(seed)
    mask = g.random((T, N)) < presence
    features = g.standard_normal((T, N, F)).clip(-5, 5).astype(np.float32) * mask[..., None]
    neighbors = g.integers(-1, N, (T, N, K)).astype(np.int32)
    weights = np.where(neighbors >= 0, g.uniform(-1, 1, (T, N, K)), 0).astype(np.float32)
    sector = g.integers(-1, 3, N).astype(np.int16)
    relations = (("correlation", K // 2), ("lead", K - K // 2))
    return Snapshots(features, mask, sector, neighbors, weights, relations)


def cut(s: Snapshots, start: int, stop: int) -> Snapshots:
    return Snapshots(
        s.features[start:stop],
        s.mask[start:stop],
        s.sector,
        s.neighbors[start:stop],
        s.neighbor_weights[start:stop],
        s.relations,
    )


def place(s: Snapshots, places: np.ndarray, N: int) -> Snapshots:
    """Move instrument i to places[i] of N; the other rows never tick."""
    T, _, F = s.features.shape
    K = s.neighbors.shape[2]
    out = Snapshots(
        np.zeros((T, N, F), np.float32),
        np.zeros((T, N), np.bool_),
        np.full(N, 1, np.int16),
        np.full((T, N, K), -1, np.int32),
        np.zeros((T, N, K), np.float32),
        s.relations,
    )
    out.features[:, places] = s.features
    out.mask[:, places] = s.mask
    out.sector[places] = s.sector
    out.neighbors[:, places] = np.append(places, -1).astype(np.int32)[s.neighbors]
    out.neighbor_weights[:, places] = s.neighbor_weights
    return out


def student_module(config: StudentConfig = SMALL_STUDENT, seed: int = 0) -> Student:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _louder(Student(config))


def teacher_module(config: TeacherConfig = SMALL_TEACHER, seed: int = 0) -> Teacher:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _louder(Teacher(config)).eval()


def tensors_of(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy().copy() for name, tensor in module.state_dict().items()}


def make_runtime(role: str, seed: int = 0) -> StreamingModel:
    if role == "student":
        return StudentRuntime(SMALL_STUDENT, tensors_of(student_module(seed=seed)), "feedfacefeedface")
    return TeacherRuntime(SMALL_TEACHER, tensors_of(teacher_module(seed=seed)), "feedfacefeedface")


def planted_market(T: int = 150, N: int = 40, seed: int = 0) -> LabeledSnapshots:
    """Labels that follow the mean of the last two windows' first feature, under noise."""
    s = make_snapshots(T, N, seed=seed, presence=1.0)
    signal = s.features[..., 0].copy()
    signal[1:] += s.features[:-1, :, 0]
    noise = np.random.default_rng(seed + 1).standard_normal((T, N))
    labels = (0.01 * (signal + 0.5 * noise)).astype(np.float32)
    return LabeledSnapshots(s, labels, T * 2 // 3, T)


def _louder(module: M) -> M:
    # Fresh weights whisper: larger ones make the graph, the gates and the thresholds matter.
    with torch.no_grad():
        for name, p in module.named_parameters():
            # A relation's two numbers are stored in eighths: as much noise would cut every edge.
            noise = 0.1 / RELATION_SCALE if "relations." in name else 0.1
            p.mul_(1.5).add_(noise * torch.randn_like(p))
    return module
