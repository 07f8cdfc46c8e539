"""Distillation of a student from a teacher, stage by stage, through an assistant if the recipe wants one.

The order is MOHAWK's (Bick et al. 2024, arXiv 2408.10189): first the mixing matrices, then the hidden states, then
everything end to end; which losses those are is the recipe's. Stages hand on the running average of the
weights; only the last one chooses by validation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from cs3g_model.config import StudentConfig, TeacherConfig, TrainConfig
from cs3g_model.dataset import LabeledSnapshots, chunk_starts
from cs3g_model.distillation.lessons import Lesson, attend, shuffled
from cs3g_model.distillation.objective import StagedObjective
from cs3g_model.distillation.recipe import Recipe, Stage, wants
from cs3g_model.distillation.term import Classroom
from cs3g_model.errors import TrainingError
from cs3g_model.inputs import SnapshotTensors, snapshot_tensors
from cs3g_model.student import Student
from cs3g_model.teacher import Teacher
from cs3g_model.teacher_runtime import load_tensors, single_thread
from cs3g_model.training.label_losses import LabelObjective
from cs3g_model.training.loop import fit
from cs3g_model.training.options import Extent, FitResult, Progress, RunOptions

__all__ = ["Distilled", "StageReport", "distill"]

Arrays = dict[str, NDArray[np.float32]]
OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class StageReport:
    """How a stage went.

    Attributes
    ----------
    learner
        "assistant" or "student".
    name, updates
        Of the stage; the updates that were made.
    losses
        Name to the loss, not weighted, at the stage's begin and end.
    """

    learner: str
    name: str
    updates: int
    losses: dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Distilled:
    """A distilled student: the last stage's result, and how each stage went."""

    fit: FitResult
    stages: list[StageReport]

    @property
    def tensors(self) -> Arrays:
        """The chosen weights by name."""
        return self.fit.tensors


def distill(
    teacher: TeacherConfig,
    tensors: Arrays,
    config: StudentConfig,
    data: LabeledSnapshots,
    recipe: Recipe,
    settings: TrainConfig,
    progress: OnProgress | None = None,
    options: RunOptions | None = None,
    explainers: Sequence[tuple[TeacherConfig, Arrays]] = (),
    initial: Arrays | None = None,
) -> Distilled:
    """Distill a student from a trained teacher.

    Parameters
    ----------
    teacher, tensors
        The teacher's configuration and parameters.
    config
        The student's configuration.
    data
        History with labels and splits.
    recipe
        The losses and their stages.
    settings
        Of the loop; its epochs are shared among the stages. An assistant takes as many again.
    progress
        Called after every update, with the whole distillation's epochs.
    options
        Device, ranks, checkpoint and metrics; each stage has a folder and a file of its own in them.
    explainers
        More teachers whose explanations count for the keywords.
    initial
        Weights that the student starts from; None for random ones. Name them in `options.identity`.

    Raises
    ------
    ConfigError
        If a model lacks what a loss of the recipe compares.
    TrainingError
        If a loss is not finite, the teacher's scores do not vary, or there are more stages than updates.
    CheckpointError
        If a checkpoint is there but may not or cannot be gone on from.
    """
    options = options or RunOptions()
    with torch.random.fork_rng(devices=[]), single_thread():
        torch.manual_seed(settings.seed)
        school = _School(data, recipe, settings, options, progress)
        stages = recipe.stages
        plans = [("student", config, recipe.stages)]
        if recipe.assistant is not None:
            stages = recipe.assistant.stages or recipe.stages
            plans.insert(0, ("assistant", recipe.assistant.config(config), stages))
        school.total = len(plans) * settings.epochs * school.steps
        masters = [_made(other, arrays) for other, arrays in [(teacher, tensors), *explainers]]
        lesson = school.attend(masters[0], stages, masters[1:])
        if recipe.shuffled_teacher:
            lesson = shuffled(lesson, school.x.mask, settings.seed)
        reports: list[StageReport] = []
        for learner, wanted, stages in plans:
            model = Student(wanted)
            if initial is not None and learner == "student":
                load_tensors(model, initial)
            result, told = school.teach(model, learner, stages, lesson)
            reports += told
            if learner == "assistant":
                load_tensors(model, result.tensors)
                # An assistant has no dispersion head: what the teacher said of it stays.
                lesson = replace(
                    school.attend(model, recipe.stages, ()), log_dispersion=lesson.log_dispersion
                )
        return Distilled(result, reports)


def stage_ends(shares: Sequence[float], updates: int) -> list[int]:
    """Divide updates among stages by their shares: how many are made when each stage ends.

    Raises
    ------
    TrainingError
        If a stage would have none.
    """
    total = sum(shares)
    ends = [round(updates * part / total) for part in accumulate(shares)]
    ends[-1] = updates
    if any(end <= begin for begin, end in zip([0, *ends], ends, strict=False)):
        raise TrainingError(
            f"{updates} updates leave a stage of the recipe without one: raise `epochs` or the stage's `share`"
        )
    return ends


class _School:
    """What assistant and student have in common while they are taught; counts the updates."""

    def __init__(
        self,
        data: LabeledSnapshots,
        recipe: Recipe,
        settings: TrainConfig,
        options: RunOptions,
        progress: OnProgress | None,
    ) -> None:
        self.data, self.recipe, self.settings, self.options = data, recipe, settings, options
        self.progress = progress
        self.x: SnapshotTensors = snapshot_tensors(data.snapshots).window(0, data.train_stop)
        self.labels = LabelObjective(
            data.labels[: data.train_stop], data.scored(0, data.train_stop), settings
        )
        chunks = len(chunk_starts(data, settings.chunk))
        self.steps = math.ceil(chunks / options.ranks.size)
        self.total = 0
        self.done = 0
        self.stage_updates = 0
        self.pace_s = 0.0

    def attend(
        self, model: Teacher | Student, stages: Sequence[Stage], explainers: Sequence[Teacher | Student]
    ) -> Lesson:
        """Let a model tell what the stages' losses ask for."""
        keywords = self.recipe.keywords
        return attend(
            model.to(self.options.place.device),
            self.x,
            chunk=self.settings.chunk,
            rows=wants(stages, "rows"),
            keywords=keywords.share if wants(stages, "keywords") else None,
            explainers=[other.to(self.options.place.device) for other in explainers],
            agreeing=keywords.agreeing,
        )

    def teach(
        self, model: Student, learner: str, stages: Sequence[Stage], lesson: Lesson
    ) -> tuple[FitResult, list[StageReport]]:
        """Take a student through the stages."""
        room = Classroom(model.config, lesson, self.labels, self.x.neighbors.shape[2])
        objective = StagedObjective(stages, room)
        reports = []
        ends = stage_ends([stage.share for stage in stages], self.settings.epochs * self.steps)
        for i, (stage, begin, end) in enumerate(zip(stages, [0, *ends], ends, strict=False)):
            objective.enter(stage)
            self.stage_updates = end - begin
            settings = self.settings
            if stage.learning_rate is not None:
                settings = msgspec.structs.replace(settings, learning_rate=stage.learning_rate)
            is_last = end == ends[-1]
            result = fit(
                model,
                self.data,
                settings,
                objective,
                self._progress,
                self._options(learner, i, stage, single=len(stages) == 1),
                extent=Extent(updates=end - begin, keeps_last=not is_last),
            )
            reports.append(StageReport(learner, stage.name, end - begin, objective.course()))
            self.done += end - begin
            if not is_last:
                load_tensors(model, result.tensors)
        return result, reports

    def _options(self, learner: str, i: int, stage: Stage, *, single: bool) -> RunOptions:
        # Stages are fits of their own: they must not take each other's checkpoints and lines.
        o = self.options
        identity = f"{o.identity} {learner} {i} {msgspec.json.encode(self.recipe, order='sorted').decode()}"
        name = f"{learner}-{i}-{stage.name}"
        metrics = o.metrics
        if metrics is not None and not (single and self.recipe.assistant is None):
            metrics = metrics.with_name(f"{metrics.stem}.{name}{metrics.suffix}")
        checkpoint: Path | None = None if o.checkpoint is None else o.checkpoint / name
        return replace(o, identity=identity, metrics=metrics, checkpoint=checkpoint)

    def _progress(self, p: Progress) -> None:
        """Tell a stage's progress as that of the whole."""
        if self.progress is None:
            return
        own = p.epoch * p.steps + p.step
        done = self.done + own
        if own < self.stage_updates:  # at its last update a stage no longer tells its pace
            self.pace_s = p.remaining_s / (self.stage_updates - own)
        epoch, step = divmod(done - 1, self.steps)
        self.progress(
            replace(
                p,
                epoch=epoch,
                epochs=math.ceil(self.total / self.steps),
                step=step + 1,
                remaining_s=self.pace_s * (self.total - done),
            )
        )


def _made(config: TeacherConfig, tensors: Arrays) -> Teacher:
    module = Teacher(config)
    load_tensors(module, tensors)
    return module
