"""Mixing of cost linear in N: the student's low-rank graph, and messages along the known relations.

What is mixed is centered first: what all instruments share says nothing about their order, and would only
let a model tell the training days apart.
An absent instrument neither sends nor receives.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cs3g_model.constants import EPSILON, RELATION_SCALE, SECTOR
from cs3g_model.inputs import SnapshotTensors
from cs3g_model.snapshots import slots_of
from cs3g_model.teacher_kernel import mix_neighbors
from cs3g_model.wavelets import soft_threshold

__all__ = ["LowRankMixer", "RelationMixer", "center", "relation_mixers", "sector_mean"]


def center(y: Tensor, mask: Tensor) -> Tensor:
    """Subtract from y (T, N, D) the mean over the present instruments of each window."""
    m = mask[..., None].to(y.dtype)
    return y - (y * m).sum(1, keepdim=True) / (m.sum(1, keepdim=True) + EPSILON)


def positive_map(x: Tensor) -> Tensor:
    """Phi of `LowRankMixer`."""
    return x.clamp_min(0) + 1 / (1 - x.clamp_max(0))


class LowRankMixer(nn.Module):
    """Row-normalized mixing with the data-dependent rank-R graph phi(Q) phi(K)^T.

    m_i = phi(q_i) . sum_j phi(k_j) v_j / (phi(q_i) . sum_j phi(k_j)), never forming the (N, N) graph
    (Katharopoulos et al. 2020, arXiv 2006.16236). phi(x) = 1 + x above 0 and 1 / (1 - x) below: their
    elu + 1 without the exponential.
    """

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, rank, bias=False)
        self.key = nn.Linear(width, rank, bias=False)

    def factors(self, y: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return phi(Q) and phi(K), (T, N, R) each, of y (T, N, D); an absent instrument's key is 0."""
        return positive_map(self.query(y)), positive_map(self.key(y)) * mask[..., None]

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Mix values v (T, N, D) with the graph of the factors."""
        total = k.transpose(1, 2) @ v  # (T, R, D)
        weight = k.sum(1)[..., None]  # (T, R, 1)
        return (q @ total) / (q @ weight + EPSILON)


def sector_mean(y: Tensor, x: SnapshotTensors) -> Tensor:
    """Mean of y (T, N, D) over the present instruments of the same sector; 0 where the sector is unknown."""
    n_sectors = max(int(x.sector.max().item()) + 1, 1) if x.sector.numel() else 1
    member = functional.one_hot(x.sector.clamp_min(0), n_sectors).to(y.dtype)  # (N, G)
    member = member * (x.sector >= 0).to(y.dtype)[:, None]
    present = member * x.mask[..., None].to(y.dtype)  # (T, N, G)
    total = present.transpose(1, 2) @ y  # (T, G, D)
    return member @ (total / (present.sum(1)[..., None] + EPSILON))


class RelationMixer(nn.Module):
    """Shrunken mean over the present neighbors of one relation, or the plain mean over a sector.

    m_i = sum_k s_ik v_k / (c + sum_k |s_ik|),   s_ik = sign(w_ik) max(|w_ik| - tau, 0)
    tau = 8 |threshold|,   c = softplus(8 mass)

    tau cuts edges that are no more than estimation noise; c is the weight of having none. The 8 makes steps of
    an optimizer that suit weights of size 1 / sqrt(D) suit these two numbers as well.

    Parameters
    ----------
    relation
        Name of the relation; snapshots that lack it send nothing.
    """

    def __init__(self, relation: str) -> None:
        super().__init__()
        self.relation = relation
        if relation != SECTOR:
            self.threshold = nn.Parameter(torch.tensor([0.05 / RELATION_SCALE]))
            self.mass = nn.Parameter(torch.zeros(1))

    def forward(self, v: Tensor, x: SnapshotTensors) -> Tensor:
        """Mix values v (T, N, D)."""
        if self.relation == SECTOR:
            return sector_mean(v, x)
        slots = slots_of(x.relations, self.relation)
        neighbors = x.neighbors[..., slots]
        T, N, K = neighbors.shape
        index = neighbors.clamp_min(0)
        sent = x.mask.gather(1, index.reshape(T, N * K)).reshape(T, N, K)
        weight = soft_threshold(x.neighbor_weights[..., slots], RELATION_SCALE * self.threshold.abs())
        weight = torch.where((neighbors >= 0) & sent, weight, 0.0)  # (T, N, K)
        row = index + N * torch.arange(T, device=v.device)[:, None, None]
        values = v.reshape(T * N, v.shape[-1]).index_select(0, row.reshape(-1)).view(T, N, K, v.shape[-1])
        norm = functional.softplus(RELATION_SCALE * self.mass) + weight.abs().sum(-1, keepdim=True)
        return (weight[..., None] * values).sum(2) / norm

    @torch.no_grad()
    def serve(self, v: Tensor, x: SnapshotTensors) -> Tensor:
        """`forward` of one window in which all are present, to float32's accuracy."""
        if self.relation == SECTOR:
            return sector_mean(v, x)
        slots, out = slots_of(x.relations, self.relation), torch.empty_like(v)
        mix_neighbors(
            v[0].contiguous().numpy(),
            x.neighbors[0].numpy(),
            x.neighbor_weights[0].numpy(),
            slots.start,
            slots.stop,
            RELATION_SCALE * self.threshold.abs().item(),
            functional.softplus(RELATION_SCALE * self.mass).item(),
            out[0].numpy(),
        )
        return out


def relation_mixers(relations: tuple[str, ...]) -> nn.ModuleList:
    """Make a mixer for each relation, in order."""
    return nn.ModuleList(RelationMixer(name) for name in relations)
