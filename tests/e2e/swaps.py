"""Models that are not shipped, and what a change between two models must give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cs3g_model.artifacts import load_runtime, save_artifact
from cs3g_model.protocol import StreamingModel
from pipeline.offline import score_runs
from pipeline.registry import Registry
from pipeline.scoring import ScoringState, score_run
from tests.unit.cs3g_model.factories import (
    SMALL_STUDENT,
    SMALL_TEACHER,
    student_module,
    teacher_module,
    tensors_of,
)
from topics.cuts import slice_graphs
from topics.runs import GraphRun, PredictionRun
from topics.types import Role

WARM_WINDOWS = 20


@dataclass(frozen=True)
class Made:
    """A registry with a student and a teacher that are not shipped."""

    registry: Registry
    ids: dict[Role, str]

    def model(self, role: Role) -> StreamingModel:
        return load_runtime(self.registry.get(self.ids[role]))


def make_models(root: Path) -> Made:
    registry = Registry(root / "registry")
    student = save_artifact(root / "made", SMALL_STUDENT, tensors_of(student_module()))
    teacher = save_artifact(root / "made", SMALL_TEACHER, tensors_of(teacher_module()))
    return Made(registry, {"student": registry.add(student), "teacher": registry.add(teacher)})


def swapped(
    before: StreamingModel, after: StreamingModel, graphs: GraphRun, place: int
) -> list[PredictionRun]:
    """Score the first `place` windows by one model and the rest by another, without the code under test."""
    (old,) = score_runs(before, [slice_graphs(graphs, 0, place)])
    recent = slice_graphs(graphs, max(0, place - WARM_WINDOWS), place)
    _, warmed = score_run(after, recent, ScoringState.initial(after))
    rest = slice_graphs(graphs, place, len(graphs.ts_close))
    new, _ = score_run(after, rest, replace(warmed, seq=place))
    assert new is not None
    return [old, new]
