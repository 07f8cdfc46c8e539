"""The fits of a compression: after pruning, and on rounded weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from cs3g_model.compression.layout import Arrays
from cs3g_model.compression.quantized import QuantizedStudent
from cs3g_model.compression.reparametrized import make_student
from cs3g_model.compression.settings import AnchoredObjective, CompressConfig
from cs3g_model.config import StudentConfig, TeacherConfig, TrainConfig
from cs3g_model.dataset import LabeledSnapshots, chunk_starts
from cs3g_model.distillation.lessons import Lesson, attend
from cs3g_model.distillation.objective import StagedObjective
from cs3g_model.distillation.recipe import plain_recipe
from cs3g_model.distillation.term import Classroom
from cs3g_model.inputs import snapshot_tensors
from cs3g_model.student import Student
from cs3g_model.student_runtime import StudentRuntime
from cs3g_model.teacher import Teacher
from cs3g_model.teacher_runtime import load_tensors, single_thread
from cs3g_model.training.batch import Objective
from cs3g_model.training.label_losses import LabelObjective
from cs3g_model.training.loop import fit
from cs3g_model.training.options import FitResult, OnProgress
from cs3g_model.training.validation import fresh_state

__all__ = ["School"]

R = TypeVar("R")


class School:
    """Fits students to labels or a teacher while it holds them to a reference.

    Parameters
    ----------
    data
        The history.
    settings
        Of both fits.
    teacher
        Its configuration and parameters; None fits to labels.

    Raises
    ------
    TrainingError
        If the teacher's scores do not vary.
    """

    def __init__(
        self,
        data: LabeledSnapshots,
        settings: CompressConfig,
        teacher: tuple[TeacherConfig, Arrays] | None = None,
    ) -> None:
        self.data = data
        self.settings = settings
        self.x = snapshot_tensors(data.snapshots).window(0, data.train_stop)
        self.lesson: Lesson | None = None
        if teacher is not None:
            module = Teacher(teacher[0])
            load_tensors(module, teacher[1])
            with single_thread():
                self.lesson = attend(module, self.x, chunk=settings.tune.chunk)

    def tune(
        self,
        config: StudentConfig,
        tensors: Arrays,
        reference: StudentRuntime,
        progress: OnProgress | None = None,
    ) -> Arrays:
        """Fit a pruned student; the validation chooses by rank IC."""
        told = self._told(reference)
        c = self.settings

        def run() -> Arrays:
            objective = self._objective(config, c.tune, told, c.tune_anchor)
            return fit(make_student(Student(config), tensors), self.data, c.tune, objective, progress).tensors

        return _seeded(c.tune.seed, run)

    def train_rounded(
        self,
        config: StudentConfig,
        tensors: Arrays,
        bits: Mapping[str, int],
        settings: TrainConfig,
        reference: StudentRuntime,
        progress: OnProgress | None = None,
    ) -> QuantizedStudent:
        """Fit a student on rounded weights; the validation chooses by agreement with the reference."""
        told = self._told(reference)
        c = self.settings
        updates = settings.epochs * len(chunk_starts(self.data, settings.chunk))
        model = QuantizedStudent(
            config, tensors, bits, activations=c.activations, delay=int(c.delay * updates)
        )
        # With the reference's scores for labels the validation's rank IC is their rank agreement.
        labels = np.where(np.isfinite(self.data.labels), told, np.nan).astype(np.float32)
        data = replace(self.data, labels=labels)

        def run() -> FitResult:
            objective = self._objective(config, settings, told, c.quantize_anchor)
            return fit(model, data, settings, objective, progress)

        result = _seeded(settings.seed, run)
        model.load_state_dict({name: torch.tensor(array) for name, array in result.tensors.items()})
        return model.eval()

    def calibrate(self, config: StudentConfig, tensors: Arrays, bits: Mapping[str, int]) -> QuantizedStudent:
        """Round a student without training it; its inputs' ranges are watched over the training windows."""
        model = QuantizedStudent(config, tensors, bits, activations=self.settings.activations)
        if self.settings.activations:
            chunk = self.settings.tune.chunk
            with single_thread(), torch.no_grad():
                model.train()
                state = fresh_state(model, self.x.mask.shape[1])
                for start in range(0, len(self.x.mask), chunk):
                    _, state = model(self.x.window(start, start + chunk), state)
        return model.eval()

    def _told(self, reference: StudentRuntime) -> NDArray[np.float32]:
        # (T, N) of the whole history, by the code that serves.
        snapshots = self.data.snapshots
        scores, _ = reference.step_many(snapshots, reference.initial_state(snapshots.mask.shape[1]))
        return scores

    def _objective(
        self, config: StudentConfig, settings: TrainConfig, told: NDArray[np.float32], anchor: float
    ) -> Objective:
        stop = self.data.train_stop
        labels = LabelObjective(self.data.labels[:stop], self.data.scored(0, stop), settings)
        other: Objective = labels
        if self.lesson is not None:
            stage = plain_recipe(self.settings.distill).stages[0]
            room = Classroom(config, self.lesson, labels, self.x.neighbors.shape[2])
            other = StagedObjective([stage], room)
        return AnchoredObjective(other, torch.tensor(told[:stop]), anchor)


def _seeded(seed: int, run: Callable[[], R]) -> R:
    with torch.random.fork_rng(devices=[]), single_thread():
        torch.manual_seed(seed)
        return run()
