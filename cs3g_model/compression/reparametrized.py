"""A student whose weights are computed from what is trained."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from cs3g_model.compression.layout import Arrays
from cs3g_model.inputs import ModelOutput, SnapshotTensors, State
from cs3g_model.student import Student

__all__ = ["Reparametrized", "make_student"]


def make_student(student: Student, tensors: Arrays) -> Student:
    """Load named tensors into a student; returns it."""
    student.load_state_dict(
        {name: torch.tensor(array, dtype=torch.float32) for name, array in tensors.items()}
    )
    return student


class Reparametrized(nn.Module):
    """A student that runs with the tensors of `effective`; it can be fitted as a student can.

    Parameters
    ----------
    student
        Holds what is trained; taken over.
    """

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student
        self.config = student.config

    @abstractmethod
    def effective(self) -> dict[str, Tensor]:
        """Return the tensors that the student runs with, by their names in the student."""

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return those of the student."""
        return self.student.state_shapes()

    def forward(self, x: SnapshotTensors, state: State) -> tuple[ModelOutput, State]:
        """Score a run from `state`, as `Student.forward` does."""
        output: tuple[ModelOutput, State] = functional_call(self.student, self.effective(), (x, state))
        return output

    def step(self, x: SnapshotTensors, state: State) -> tuple[Tensor, State]:
        """Score one window, T = 1; scores (N,)."""
        output, after = self.forward(x, state)
        return output.scores[0], after

    def export(self) -> dict[str, NDArray[np.float32]]:
        """Return the effective tensors as the plain student's."""
        with torch.no_grad():
            return {name: tensor.numpy().copy() for name, tensor in self.effective().items()}
