"""A model in a role that need not be its own: two students, or two teachers, beside each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cs3g_model.protocol import StreamingModel
from cs3g_model.snapshots import Snapshots
from cs3g_model.state import HiddenState
from topics.types import Role

__all__ = ["as_role"]


@dataclass(frozen=True, slots=True)
class _InRole:
    """A model under another role; everything else is the model's own."""

    model: StreamingModel
    role: Role

    @property
    def model_id(self) -> str:
        """The model's id: the role changes no score."""
        return self.model.model_id

    @property
    def warmup(self) -> int:
        """Windows that the model must see first."""
        return self.model.warmup

    def initial_state(self, n: int) -> HiddenState:
        """State of `n` instruments that were never seen."""
        return self.model.initial_state(n)

    def step(self, snapshot: Snapshots, state: HiddenState) -> tuple[NDArray[np.float32], HiddenState]:
        """Score one window."""
        return self.model.step(snapshot, state)

    def step_many(self, snapshots: Snapshots, state: HiddenState) -> tuple[NDArray[np.float32], HiddenState]:
        """Score a run."""
        return self.model.step_many(snapshots, state)


def as_role(model: StreamingModel, role: Role) -> StreamingModel:
    """Return a model that serves in a role, whatever its own is; itself where that is its own.

    Parameters
    ----------
    model
        Teacher or student.
    role
        Whose group, checkpoints and predictions are used.
    """
    return model if model.role == role else _InRole(model, role)
