"""A Mamba-style model as a first version is written: the recurrence as a Python loop over the windows.

It has what ours has along time, blocks of a selective SSM of the same D and S, and nothing across
instruments: no graph, no messages, no wavelets. So it does less work than ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["PlainMamba"]


class _Block(nn.Module):
    def __init__(self, D: int, S: int) -> None:
        super().__init__()
        self.inward, self.outward = nn.Linear(D, 2 * D), nn.Linear(D, D)
        self.delta, self.B, self.C = nn.Linear(D, D), nn.Linear(D, S), nn.Linear(D, S)
        self.A_log = nn.Parameter(torch.log(torch.arange(1.0, S + 1)).repeat(D, 1))
        self.D = nn.Parameter(torch.ones(D))

    def forward(self, z: Tensor) -> Tensor:
        u, gate = self.inward(z).chunk(2, dim=-1)
        u = functional.silu(u)
        delta, B, C = functional.softplus(self.delta(u)), self.B(u), self.C(u)
        A = -torch.exp(self.A_log)
        h = torch.zeros(*u.shape[1:], A.shape[1])
        ys = []
        for t in range(u.shape[0]):
            decay = torch.exp(delta[t][..., None] * A)
            h = decay * h + (delta[t] * u[t])[..., None] * B[t][:, None, :]
            ys.append((h * C[t][:, None, :]).sum(-1) + self.D * u[t])
        out: Tensor = z + self.outward(torch.stack(ys) * functional.silu(gate))
        return out


class PlainMamba(nn.Module):
    """Features (T, N, F) to scores (T, N).

    Parameters
    ----------
    n_features, width, state_size, layers
        F, D, S and the number of blocks.
    """

    def __init__(self, n_features: int, width: int, state_size: int, layers: int) -> None:
        super().__init__()
        self.inward = nn.Linear(n_features, width)
        self.blocks = nn.ModuleList(_Block(width, state_size) for _ in range(layers))
        self.score = nn.Linear(width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Score a run."""
        z = self.inward(features)
        for block in self.blocks:
            z = block(z)
        out: Tensor = self.score(z).squeeze(-1)
        return out
