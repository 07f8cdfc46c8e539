"""What the loop hands to an objective at each update, and what it asks of one."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from cs3g_model.inputs import ModelOutput, SnapshotTensors, State

__all__ = ["Batch", "Objective"]


@dataclass(frozen=True, slots=True)
class Batch:
    """The windows [start, stop) of one update and all that a further forward pass over them takes.

    Attributes
    ----------
    start, stop
        Windows of the history, T = stop - start.
    mask
        (T, N) bool: whose labels count.
    x
        The snapshots of these windows.
    state
        The state from which the model ran over them; constants.
    model
        The model that ran, in training mode; `model(x, state)` repeats the pass, with dropout anew.
    """

    start: int
    stop: int
    mask: Tensor
    x: SnapshotTensors
    state: State
    model: nn.Module


class Objective(Protocol):
    """What a fit minimizes. Inherit from it for the defaults of the optional parts."""

    @abstractmethod
    def __call__(self, output: ModelOutput, batch: Batch) -> Tensor:
        """Return the loss, a scalar, of the model's output on the batch's windows."""
        ...

    def parameters(self) -> list[nn.Parameter]:
        """Return parameters that are trained along and thrown away, such as a hint's regressor."""
        return []

    def after_update(self, model: nn.Module) -> None:
        """Restore, in place, what an update must not change: masked weights, frozen tensors."""
        return None
