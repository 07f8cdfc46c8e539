"""Plain distillation: a student learns a teacher's ranking, its hidden states, and the labels.

    L = (1 - alpha) L_label + alpha tau^2 KL(softmax(c t / tau) || softmax(c s / tau))
        + hint ||W z_s - z_t||^2 / D

c = 1 / (standard deviation of the teacher's scores) makes tau unit-free. W, the hint's regressor, is
trained along and thrown away. The teacher's outputs are computed once and are constants.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cs3g_model.config import DistillConfig, StudentConfig, TeacherConfig
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.errors import TrainingError
from cs3g_model.inputs import ModelOutput, snapshot_tensors
from cs3g_model.losses import hint_loss, listwise_loss
from cs3g_model.student import Student
from cs3g_model.teacher import Teacher
from cs3g_model.teacher_runtime import load_tensors, single_thread
from cs3g_model.train import FitResult, LabelObjective, Progress, fit, run_module
from cs3g_model.training.batch import Batch, Objective

__all__ = ["distill"]

Arrays = dict[str, NDArray[np.float32]]


class DistillObjective(Objective):
    """The loss above; the teacher's outputs are of the training windows."""

    def __init__(
        self, labels: LabelObjective, teacher: ModelOutput, width: int, config: DistillConfig
    ) -> None:
        self.labels = labels
        self.teacher = teacher
        self.config = config
        self.regressor = nn.Linear(width, teacher.hidden.shape[-1])
        present = teacher.scores[teacher.scores != 0]  # absent instruments score exactly 0
        # Not by the standard deviation, which rounding keeps above 0.
        if len(present) < 2 or present.min() == present.max():
            raise TrainingError("the teacher scores every instrument alike: there is nothing to distill")
        self.scale = 1.0 / float(present.std())

    def parameters(self) -> list[nn.Parameter]:
        """Return the regressor's."""
        return list(self.regressor.parameters())

    def __call__(self, output: ModelOutput, batch: Batch) -> Tensor:
        """Return the loss of the batch's windows."""
        c, mask, start, stop = self.config, batch.mask, batch.start, batch.stop
        soft = listwise_loss(
            self.scale * output.scores, self.scale * self.teacher.scores[start:stop], mask, c.temperature
        )
        loss = (1 - c.alpha) * self.labels(output, batch) + c.alpha * soft
        if c.hint:
            guided = self.regressor(output.hidden)
            loss = loss + c.hint * hint_loss(guided, self.teacher.hidden[start:stop], mask)
        return loss


def distill(
    teacher: TeacherConfig,
    tensors: Arrays,
    config: StudentConfig,
    data: LabeledSnapshots,
    settings: DistillConfig,
    progress: Callable[[Progress], None] | None = None,
) -> FitResult:
    """Distill a student from a trained teacher.

    Parameters
    ----------
    teacher, tensors
        The teacher's configuration and parameters.
    config
        The student's configuration.
    data
        History with labels and splits.
    settings
        Weights of the losses, and the loop's settings.
    progress
        Called after every update.

    Raises
    ------
    TrainingError
        If a loss is not finite, or the teacher's scores do not vary.
    """
    with torch.random.fork_rng(devices=[]), single_thread():
        torch.manual_seed(settings.train.seed)
        module = Teacher(teacher)
        load_tensors(module, tensors)
        told = run_module(module, snapshot_tensors(data.snapshots), 0, data.train_stop)
        # Clones outside inference mode may enter autograd.
        teacher_output = ModelOutput(told.scores.clone(), told.hidden.clone())
        model = Student(config)
        labels = LabelObjective(
            data.labels[: data.train_stop], data.scored(0, data.train_stop), settings.train
        )
        objective = DistillObjective(labels, teacher_output, config.width, settings)
        return fit(model, data, settings.train, objective, progress)
