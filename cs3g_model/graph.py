"""The teacher's data-dependent graph: query and key factors with a state, sparse edges, messages.

    Q_t, K_t = SSM(W y_t);   l_ij = <q_i, k_j> / sqrt(R) + g sum_r softmax(theta)_r max(A_ij^r, 0)
    a_ij = max(exp(l_ij) - exp(l_i(K+1)), 0) / (sum_j of the same + exp(l_ii))

The known relations A^r are mixed softly, a mixture for each head (Graph Transformer Networks, Yun et al. 2019,
1911.06455, whose adjacency matrices are priors on logits here). A node keeps its K strongest incoming edges
per head. Subtracting the (K+1)-th weight makes `a` continuous where the set of edges changes: a rounding error
that swaps two edges moves no score. The self loop in the denominator lets a node decline its neighbors. Only
the factors carry state, O(N R) and not O(N^2).
"""

from __future__ import annotations

import math
import warnings
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cs3g_model.config import edge_relations
from cs3g_model.constants import SECTOR
from cs3g_model.inputs import Graph, SnapshotTensors
from cs3g_model.selection import SECTOR_AFFINITY, select_edges
from cs3g_model.snapshots import slots_of
from cs3g_model.ssm import SelectiveSSM
from cs3g_model.teacher_kernel import mix_strongest

with warnings.catch_warnings():
    # PyTorch Geometric scripts classes while it is imported, which newer torch deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn import MessagePassing

__all__ = ["EvolvingGraph", "WeightedSum"]

_PRIOR_SCALE: Final = 16.0
"""A relation's weights are correlations, far below 1: scaled up, so that the optimizer's small steps on g and
theta are steps that matter."""


class WeightedSum(MessagePassing):  # type: ignore[misc]
    """Sum of the sources' values, weighted by the edges."""

    def __init__(self) -> None:
        super().__init__(aggr="sum", flow="source_to_target", node_dim=0)

    def forward(self, values: Tensor, graph: Graph) -> Tensor:
        """Send values (nodes, C) along the edges."""
        out: Tensor = self.propagate(
            graph.edge_index, x=values, edge_weight=graph.edge_weight, size=(len(values), len(values))
        )
        return out

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        """Weigh the source's value."""
        return edge_weight[:, None] * x_j


class EvolvingGraph(nn.Module):
    """Builds the graph of every window from node states y.

    Parameters
    ----------
    width
        D of y.
    heads, rank, edges
        H, R and K.
    state_size
        S of the SSM that evolves the factors; 0 takes them from the window alone.
    relations
        Names of the relations that are priors on the logits. Each head starts out leaning to another one.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        rank: int,
        edges: int,
        state_size: int,
        relations: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.heads, self.rank, self.edges = heads, rank, edges
        self.has_sector = SECTOR in relations
        self.edge_relations = edge_relations(relations)
        self.n_factors = 2 * heads * rank
        self.factors = nn.Linear(width, self.n_factors, bias=False)
        self.ssm = SelectiveSSM(self.n_factors, state_size, gain=1.0) if state_size else None
        if relations:
            lean = torch.eye(len(relations)).flip(0).repeat(heads, 1)[:heads]
            self.mixture = nn.Parameter(lean / _PRIOR_SCALE)
            self.prior_gain = nn.Parameter(torch.full((heads,), 4.0 / _PRIOR_SCALE))

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state's tensors without their leading N."""
        return {} if self.ssm is None else {"factors": (self.n_factors, self.ssm.state_size)}

    def forward(
        self, y: Tensor, x: SnapshotTensors, state: dict[str, Tensor]
    ) -> tuple[Graph, dict[str, Tensor]]:
        """Build the graphs of a run from y (T, N, D)."""
        q, k, after = self.evolve(y, x.mask, state)
        prior = self.coefficients()  # (H, P), the sector's first
        index, values = self._select(q, k, prior, x)  # (T, H, N, K + 1), and that by P
        logits = self._logits(q, k, prior, index, values, x)
        own = (q * k).sum(-1) + SECTOR_AFFINITY * prior.sum(1)[:, None]  # (T, H, N)
        top = torch.maximum(logits[..., 0], own).detach()
        weight = torch.exp(logits - top[..., None])
        # With fewer than K + 1 candidates the last logit is -inf and nothing is subtracted.
        weight = (weight[..., :-1] - weight[..., -1:]).clamp_min(0.0)
        weight = weight / (weight.sum(-1) + torch.exp(own - top))[..., None]
        kept = (logits[..., :-1] > -torch.inf) & x.mask[:, None, :, None]
        T, _, N, _ = q.shape
        base = torch.arange(T * self.heads, device=y.device).view(T, self.heads, 1, 1) * N
        source = (index[..., :-1] + base)[kept]
        destination = (torch.arange(N, device=y.device)[:, None] + base).expand_as(kept)[kept]
        return Graph(torch.stack([source, destination]), weight[kept], logits[..., :-1]), after

    @torch.no_grad()
    def mix(
        self, y: Tensor, values: Tensor, x: SnapshotTensors, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Send values (1, N, D) along the graph of one window in which all are present, without making it.

        The same function as `forward` and the passing of its messages, to float32's accuracy.
        """
        q, k, after = self.evolve(y, x.mask, state)
        neighbors, weights, stops = self._slots(x)
        out = torch.empty_like(values)
        mix_strongest(
            q[0].contiguous().numpy(),
            k[0].contiguous().numpy(),
            values[0].contiguous().numpy(),
            self.coefficients().numpy(),
            x.sector.numpy(),
            neighbors[0],
            weights[0],
            stops,
            self.has_sector,
            self.edges,
            out[0].numpy(),
        )
        return out, after

    def evolve(
        self, y: Tensor, mask: Tensor, state: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return queries over sqrt(R) and keys, (T, H, N, R) each, and the new state."""
        f = self.factors(y)  # (T, N, 2 H R)
        after = {}
        if self.ssm is not None:
            f, after["factors"] = self.ssm(f, mask, state["factors"])
        T, N, _ = f.shape
        q, k = f.view(T, N, 2, self.heads, self.rank).permute(2, 0, 3, 1, 4)
        return q / math.sqrt(self.rank), k, after

    def coefficients(self) -> Tensor:
        """Return the priors' weights (H, P): the sector's first, then the edge relations in order."""
        n_priors = int(self.has_sector) + len(self.edge_relations)
        if not n_priors:
            return self.factors.weight.new_zeros(self.heads, 0)
        share = torch.softmax(_PRIOR_SCALE * self.mixture, dim=1)
        return _PRIOR_SCALE * self.prior_gain[:, None] * share

    def _logits(
        self, q: Tensor, k: Tensor, prior: Tensor, index: Tensor, values: Tensor, x: SnapshotTensors
    ) -> Tensor:
        # The chosen edges' logits again, this time with gradients.
        T, H, N, K = index.shape
        flat = index.reshape(T, H, N * K, 1).expand(-1, -1, -1, self.rank)
        logits = (q[:, :, :, None, :] * k.gather(2, flat).view(T, H, N, K, -1)).sum(-1)
        if values.shape[-1]:
            logits = logits + (values * prior[:, None, None, :]).sum(-1)
        destination = torch.arange(N, device=q.device)[:, None]
        return logits.masked_fill(index == destination, -torch.inf)

    @torch.no_grad()
    def _select(self, q: Tensor, k: Tensor, prior: Tensor, x: SnapshotTensors) -> tuple[Tensor, Tensor]:
        # One window at a time: all (T, H, N, N) logits would not fit for large N.
        T, H, N, _ = q.shape
        index = np.empty((T, H, N, self.edges + 1), np.int64)
        values = np.empty((*index.shape, prior.shape[1]), np.float32)
        neighbors, weights, stops = self._slots(x)
        mask, sector = x.mask.cpu().numpy(), x.sector.cpu().numpy()
        coefficients = prior.float().cpu().numpy()
        for t in range(T):
            dense = (q[t] @ k[t].transpose(-1, -2)).float().cpu().numpy()  # (H, N, N)
            select_edges(
                dense,
                coefficients,
                mask[t],
                sector,
                neighbors[t],
                weights[t],
                stops,
                self.has_sector,
                index[t],
                values[t],
            )
        return torch.from_numpy(index).to(q.device), torch.from_numpy(values).to(q.device, q.dtype)

    def _slots(self, x: SnapshotTensors) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        # The slots of the relations that are read, one relation after the other, and where each ends.
        slots = [slots_of(x.relations, name) for name in self.edge_relations]
        columns = [k for s in slots for k in range(s.start, s.stop)]
        stops = np.cumsum([s.stop - s.start for s in slots], dtype=np.int64)
        neighbors = np.ascontiguousarray(x.neighbors[..., columns].cpu().numpy())
        weights = np.ascontiguousarray(x.neighbor_weights[..., columns].float().cpu().numpy())
        return neighbors, weights, stops
