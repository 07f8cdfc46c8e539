"""The student's step as one would write it in PyTorch: the peers' model. All instruments are present.

Its parameters are read from a `.npz` that `benchmarks.step.models` writes; D, S, F, R are their shapes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class PlainStep(nn.Module):
    """Features (N, F), filter memory (N, F) and state (N, D, S) to scores (N,) and the new two."""

    threshold: Tensor
    inward: Tensor
    inward_bias: Tensor
    delta: Tensor
    delta_bias: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    query: Tensor
    key: Tensor
    hidden: Tensor
    hidden_bias: Tensor
    outward: Tensor
    outward_bias: Tensor

    def __init__(self, path: str) -> None:
        super().__init__()
        with np.load(path) as arrays:
            for name in arrays.files:
                self.register_buffer(name, torch.from_numpy(arrays[name]))

    def forward(self, x: Tensor, past: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score one window."""
        smooth = 0.5 * (x + past)
        detail = x - smooth
        detail = detail - torch.maximum(torch.minimum(detail, self.threshold), -self.threshold)
        u = functional.silu(functional.linear(torch.cat([detail, smooth], 1), self.inward, self.inward_bias))
        delta = functional.softplus(functional.linear(u, self.delta, self.delta_bias))
        B, C = u @ self.B.T, u @ self.C.T
        decay = torch.exp(delta[:, :, None] * self.A)
        h = decay * h + (decay - 1.0) / self.A * B[:, None, :] * u[:, :, None]
        y = (h * C[:, None, :]).sum(-1) + self.D * u
        v = y - y.mean(0)
        q, k = _positive(y @ self.query.T), _positive(y @ self.key.T)
        m = (q @ (k.T @ v)) / (q @ k.sum(0)[:, None])
        z = functional.silu(functional.linear(torch.cat([y, m], 1), self.hidden, self.hidden_bias))
        return functional.linear(z, self.outward, self.outward_bias)[:, 0], x, h


def _positive(x: Tensor) -> Tensor:
    return x.clamp_min(0.0) + 1.0 / (1.0 - x.clamp_max(0.0))
