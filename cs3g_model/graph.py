"""The teacher's data-dependent graph: query and key factors with a state, sparse edges, messages.

    Q_t, K_t = SSM(W y_t);   l_ij = <q_i, k_j> / sqrt(R) + b_sector [same sector] + b_corr corr_ij
    a_ij = max(exp(l_ij) - exp(l_i(K+1)), 0) / (sum_j of the same + exp(l_ii))

A node keeps its K strongest incoming edges per head. Subtracting the (K+1)-th weight makes `a` continuous
where the set of edges changes: a rounding error that swaps two edges moves no score. The self loop in
the denominator lets a node decline its neighbors. Only the factors carry state, O(N R) and not O(N^2).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cs3g_model.inputs import SnapshotTensors
from cs3g_model.ssm import SelectiveSSM

with warnings.catch_warnings():
    # PyTorch Geometric scripts classes while it is imported, which newer torch deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn import MessagePassing

__all__ = ["EvolvingGraph", "Graph", "WeightedSum"]


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
        Whether sector and correlation enter as priors on the logits.
    """

    def __init__(
        self, width: int, *, heads: int, rank: int, edges: int, state_size: int, relations: bool
    ) -> None:
        super().__init__()
        self.heads, self.rank, self.edges, self.relations = heads, rank, edges, relations
        self.n_factors = 2 * heads * rank
        self.factors = nn.Linear(width, self.n_factors, bias=False)
        self.ssm = SelectiveSSM(self.n_factors, state_size, gain=1.0) if state_size else None
        if relations:
            self.sector_prior = nn.Parameter(torch.full((heads,), 0.5))
            self.correlation_prior = nn.Parameter(torch.full((heads,), 1.0))

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state's tensors without their leading N."""
        return {} if self.ssm is None else {"factors": (self.n_factors, self.ssm.state_size)}

    def forward(
        self, y: Tensor, x: SnapshotTensors, state: dict[str, Tensor]
    ) -> tuple[Graph, dict[str, Tensor]]:
        """Build the graphs of a run from y (T, N, D)."""
        f = self.factors(y)  # (T, N, 2 H R)
        after = {}
        if self.ssm is not None:
            f, after["factors"] = self.ssm(f, x.mask, state["factors"])
        T, N, _ = f.shape
        q, k = f.view(T, N, 2, self.heads, self.rank).permute(2, 0, 3, 1, 4)  # (T, H, N, R) each
        q = q / math.sqrt(self.rank)
        index, correlation = self._select(q, k, x)  # (T, H, N, K + 1)
        logits = self._logits(q, k, index, correlation, x)
        own = (q * k).sum(-1)  # (T, H, N)
        if self.relations:
            own = own + (self.sector_prior + self.correlation_prior)[:, None]
        top = torch.maximum(logits[..., 0], own).detach()
        weight = torch.exp(logits - top[..., None])
        # With fewer than K + 1 candidates the last logit is -inf and nothing is subtracted.
        weight = (weight[..., :-1] - weight[..., -1:]).clamp_min(0.0)
        weight = weight / (weight.sum(-1) + torch.exp(own - top))[..., None]
        kept = (logits[..., :-1] > -torch.inf) & x.mask[:, None, :, None]
        base = torch.arange(T * self.heads, device=y.device).view(T, self.heads, 1, 1) * N
        source = (index[..., :-1] + base)[kept]
        destination = (torch.arange(N, device=y.device)[:, None] + base).expand_as(kept)[kept]
        return Graph(torch.stack([source, destination]), weight[kept], logits[..., :-1]), after

    def _logits(self, q: Tensor, k: Tensor, index: Tensor, correlation: Tensor, x: SnapshotTensors) -> Tensor:
        # The chosen edges' logits again, this time with gradients.
        T, H, N, K = index.shape
        flat = index.reshape(T, H, N * K, 1).expand(-1, -1, -1, self.rank)
        logits = (q[:, :, :, None, :] * k.gather(2, flat).view(T, H, N, K, -1)).sum(-1)
        if self.relations:
            sector = x.sector[index]
            same = (sector == x.sector[:, None]) & (sector >= 0)
            logits = logits + self.sector_prior[:, None, None] * same
            logits = logits + self.correlation_prior[:, None, None] * correlation
        destination = torch.arange(N, device=q.device)[:, None]
        present = x.mask.gather(1, index.reshape(T, -1)).view(index.shape)
        return logits.masked_fill(~present | (index == destination), -torch.inf)

    @torch.no_grad()
    def _select(self, q: Tensor, k: Tensor, x: SnapshotTensors) -> tuple[Tensor, Tensor]:
        # One window at a time: all (T, H, N, N) logits would not fit for large N.
        T, _, N, _ = q.shape
        keep = min(self.edges + 1, N)
        same = (x.sector[:, None] == x.sector[None, :]) & (x.sector >= 0)
        indices, correlations = [], []
        for t in range(T):
            dense = q[t] @ k[t].transpose(-1, -2)  # (H, N, N)
            prior = q.new_zeros(N, N + 1)  # the last column takes the missing neighbors
            if self.relations:
                target = torch.where(x.neighbors[t] >= 0, x.neighbors[t], N)
                prior.scatter_(1, target, x.neighbor_weights[t])
                dense = dense + self.sector_prior[:, None, None] * same
                dense = dense + self.correlation_prior[:, None, None] * prior[:, :N]
            dense.masked_fill_(~x.mask[t], -torch.inf)
            dense.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
            index = dense.topk(keep, dim=-1).indices  # (H, N, K + 1)
            correlations.append(prior[:, :N].expand_as(dense).gather(2, index))
            indices.append(index)
        index, correlation = torch.stack(indices), torch.stack(correlations)
        missing = self.edges + 1 - keep
        if missing:  # pad with self loops, which `_logits` drops
            loops = torch.arange(N, device=q.device)[:, None].expand(*index.shape[:3], missing)
            index = torch.cat([index, loops], dim=-1)
            correlation = torch.cat([correlation, torch.zeros_like(loops, dtype=q.dtype)], dim=-1)
        return index, correlation
