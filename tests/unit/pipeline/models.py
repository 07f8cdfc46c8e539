"""A real, tiny streaming model for the pipeline's tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cs3g_model.protocol import Role
from cs3g_model.snapshots import Snapshots
from cs3g_model.state import HiddenState


@dataclass(frozen=True)
class ExponentialMean:
    """Scores minus the exponential mean of the first feature, plus the neighbors' weighted own."""

    model_id: str = "0123456789abcdef"
    role: Role = "student"
    warmup: int = 3
    decay: float = 0.75

    def initial_state(self, n: int) -> HiddenState:
        return HiddenState({"mean": np.zeros((1, n), np.float32)}, self.model_id)

    def step(self, snapshot: Snapshots, state: HiddenState) -> tuple[NDArray[np.float32], HiddenState]:
        scores, state = self.step_many(snapshot, state)
        return scores[0], state

    def step_many(self, snapshots: Snapshots, state: HiddenState) -> tuple[NDArray[np.float32], HiddenState]:
        state.require(self.model_id, snapshots.mask.shape[1])
        mean = state.arrays["mean"][0].copy()
        scores = np.zeros(snapshots.mask.shape, np.float32)
        decay = np.float32(self.decay)
        for t, mask in enumerate(snapshots.mask):
            mean[mask] = decay * mean[mask] + (1 - decay) * snapshots.features[t, mask, 0]
            for n in np.flatnonzero(mask):
                score = -mean[n]
                for other, weight in zip(
                    snapshots.neighbors[t, n], snapshots.neighbor_weights[t, n], strict=True
                ):
                    if other >= 0:
                        score += weight * mean[other]
                scores[t, n] = score
        return scores, HiddenState({"mean": mean[None]}, self.model_id)
