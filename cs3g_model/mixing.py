"""Mixing of cost linear in N: the student's low-rank graph, and means over the known relations.

What is mixed is centered first: what all instruments share says nothing about their order, and would only
let a model tell the training days apart.
An absent instrument neither sends nor receives.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cs3g_model.constants import EPSILON
from cs3g_model.inputs import SnapshotTensors

__all__ = ["LowRankMixer", "center", "neighbor_mean", "sector_mean"]


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

    def forward(self, y: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """Mix values v (T, N, D) with the graph of y (T, N, D) over the present instruments, mask (T, N)."""
        q = positive_map(self.query(y))  # (T, N, R)
        k = positive_map(self.key(y)) * mask[..., None]
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


def neighbor_mean(y: Tensor, x: SnapshotTensors) -> Tensor:
    """Mean of y (T, N, D) over the present correlated neighbors, weighted by positive correlation."""
    T, N, K = x.neighbors.shape
    index = x.neighbors.clamp_min(0)
    sent = x.mask.gather(1, index.reshape(T, N * K)).reshape(T, N, K)
    weight = torch.where((x.neighbors >= 0) & sent, x.neighbor_weights.clamp_min(0.0), 0.0)  # (T, N, K)
    flat = index.reshape(T, N * K, 1).expand(-1, -1, y.shape[-1])
    values = y.gather(1, flat).reshape(T, N, K, -1)
    return torch.einsum("tnk,tnkd->tnd", weight, values) / (weight.sum(-1, keepdim=True) + EPSILON)
