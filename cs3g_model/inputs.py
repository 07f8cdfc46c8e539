"""Snapshots as tensors, and what the torch modules exchange.

Inside torch instruments lead, (T, N, ...) and (N, ...), because `nn.Linear` wants features last; the
hidden state's N-last arrays are turned at the rim, in `arrays_to_state` and `state_to_arrays`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cs3g_model.snapshots import Snapshots

__all__ = [
    "ModelOutput",
    "SnapshotTensors",
    "State",
    "arrays_to_state",
    "initial_tensors",
    "snapshot_tensors",
    "state_to_arrays",
]

State = dict[str, Tensor]
"""Tensors with a leading N."""


@dataclass(frozen=True, slots=True)
class SnapshotTensors:
    """`Snapshots` in torch-owned memory; see there for the shapes. Indices are int64."""

    features: Tensor
    mask: Tensor
    sector: Tensor
    neighbors: Tensor
    neighbor_weights: Tensor

    def window(self, start: int, stop: int) -> SnapshotTensors:
        """Return windows [start, stop)."""
        return SnapshotTensors(
            self.features[start:stop],
            self.mask[start:stop],
            self.sector,
            self.neighbors[start:stop],
            self.neighbor_weights[start:stop],
        )


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """Scores (T, N), the last hidden layer (T, N, D), and the teacher's log dispersion (T, N)."""

    scores: Tensor
    hidden: Tensor
    log_dispersion: Tensor | None = None


def snapshot_tensors(snapshots: Snapshots, dtype: torch.dtype = torch.float32) -> SnapshotTensors:
    """Copy a run into torch-owned (64-byte aligned) memory: matrix products may differ by alignment."""
    return SnapshotTensors(
        torch.tensor(snapshots.features, dtype=dtype),
        torch.tensor(snapshots.mask),
        torch.tensor(snapshots.sector, dtype=torch.int64),
        torch.tensor(snapshots.neighbors, dtype=torch.int64),
        torch.tensor(snapshots.neighbor_weights, dtype=dtype),
    )


def initial_tensors(shapes: dict[str, tuple[int, ...]], n: int, dtype: torch.dtype = torch.float32) -> State:
    """Return the state of `n` instruments never seen."""
    return {name: torch.zeros((n, *shape), dtype=dtype) for name, shape in shapes.items()}


def arrays_to_state(arrays: dict[str, NDArray[np.float32]]) -> State:
    """Turn N-last arrays into N-first tensors."""
    return {name: torch.tensor(np.moveaxis(array, -1, 0)).contiguous() for name, array in arrays.items()}


def state_to_arrays(state: State) -> dict[str, NDArray[np.float32]]:
    """Turn N-first tensors into N-last arrays."""
    return {name: np.ascontiguousarray(np.moveaxis(tensor.numpy(), 0, -1)) for name, tensor in state.items()}
