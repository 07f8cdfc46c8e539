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
    "Graph",
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
    relations: tuple[tuple[str, int], ...] = ()

    def window(self, start: int, stop: int) -> SnapshotTensors:
        """Return windows [start, stop)."""
        return SnapshotTensors(
            self.features[start:stop],
            self.mask[start:stop],
            self.sector,
            self.neighbors[start:stop],
            self.neighbor_weights[start:stop],
            self.relations,
        )


@dataclass(frozen=True, slots=True)
class Graph:
    """Edges of T windows and H heads, the graphs of one batch: node (t, h, n) is row (t H + h) N + n.

    Attributes
    ----------
    edge_index
        (2, E) int64, sources then destinations.
    edge_weight
        (E,), at most 1 in sum over a node's incoming edges.
    logits
        (T, H, N, K) of the kept edges, -inf for none.
    """

    edge_index: Tensor
    edge_weight: Tensor
    logits: Tensor


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """What a model computed of a run.

    Attributes
    ----------
    scores
        (T, N), 0 where absent.
    hidden
        (T, N, D), the last hidden layer.
    log_dispersion
        (T, N) of the teacher; None of the student.
    graph
        The learned graph of the teacher's last block.
    graph_rows
        The student's low-rank graph as phi(Q), phi(K), (T, N, R) each; row i of the graph is
        phi(q_i) phi(K)^T over its sum.
    """

    scores: Tensor
    hidden: Tensor
    log_dispersion: Tensor | None = None
    graph: Graph | None = None
    graph_rows: tuple[Tensor, Tensor] | None = None


def snapshot_tensors(snapshots: Snapshots, dtype: torch.dtype = torch.float32) -> SnapshotTensors:
    """Copy a run into torch-owned (64-byte aligned) memory: matrix products may differ by alignment."""
    return SnapshotTensors(
        torch.tensor(snapshots.features, dtype=dtype),
        torch.tensor(snapshots.mask),
        torch.tensor(snapshots.sector, dtype=torch.int64),
        torch.tensor(snapshots.neighbors, dtype=torch.int64),
        torch.tensor(snapshots.neighbor_weights, dtype=dtype),
        snapshots.relations,
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
