"""What a scorer needs of a model, teacher or student."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cs3g_model.snapshots import Snapshots
from cs3g_model.state import HiddenState

__all__ = ["Role", "StreamingModel"]

Role = Literal["student", "teacher"]


@runtime_checkable
class StreamingModel(Protocol):
    """A model that reads windows in order and carries its state as a value.

    How a sequence is cut into runs, and rows of instruments that never tick, change no bit of any score.
    """

    @property
    def model_id(self) -> str:
        """First 16 hexadecimal digits of the artifact's hash."""
        ...

    @property
    def role(self) -> Role:
        """Whether the model serves, or runs in the shadow."""
        ...

    @property
    def warmup(self) -> int:
        """Windows that the model must see before its scores are worth trading on."""
        ...

    def initial_state(self, n: int) -> HiddenState:
        """State of `n` instruments that were never seen."""
        ...

    def step(self, snapshot: Snapshots, state: HiddenState) -> tuple[NDArray[np.float32], HiddenState]:
        """Score one window, T = 1; scores are (N,), 0 where absent. Pure."""
        ...

    def step_many(self, snapshots: Snapshots, state: HiddenState) -> tuple[NDArray[np.float32], HiddenState]:
        """Score a run; scores are (T, N), the same bits as folding `step`. Pure."""
        ...
