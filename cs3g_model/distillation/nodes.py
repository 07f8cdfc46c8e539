"""Instruments as the nodes that losses over pairs compare: a sample of them, and their states on one scale."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sample_nodes", "standardize_states", "take_nodes"]

_EPSILON = 1e-8


def sample_nodes(mask: Tensor, limit: int) -> Tensor:
    """Draw at most `limit` instruments of each window, present ones first, by torch's global generator.

    Parameters
    ----------
    mask
        (T, N) bool, which instruments are present.
    limit
        M at most; N <= limit takes all in their order and draws nothing.

    Returns
    -------
    (T, M) int64 indices into N, each at most once in a window. Where fewer than M are present, the last
    ones are absent: `take_nodes(mask, index)` says which.
    """
    T, N = mask.shape
    if limit >= N:
        return torch.arange(N, device=mask.device).expand(T, N)
    # A key in [0, 1) for the present and above it for the absent: the smallest keys are the sample.
    keys = torch.rand(T, N, device=mask.device) + (~mask).float()
    return keys.argsort(dim=1, stable=True)[:, :limit]


def take_nodes(x: Tensor, index: Tensor) -> Tensor:
    """Take the sampled instruments, index (T, M), out of x (T, N) or (T, N, D)."""
    if x.dim() == 2:
        return x.gather(1, index)
    return x.gather(1, index[..., None].expand(*index.shape, x.shape[-1]))


def standardize_states(h: Tensor, mask: Tensor) -> Tensor:
    """Center h (T, N, D) across the present instruments and divide by a window's root mean square; 0 if absent.

    What all instruments share would make every pair alike, and a teacher's and a student's states have no
    common unit.
    """
    m = mask[..., None].to(h.dtype)
    n = m.sum(1, keepdim=True).clamp_min(1)
    centered = (h - (h * m).sum(1, keepdim=True) / n) * m
    square = centered.square().mean(-1, keepdim=True).sum(1, keepdim=True) / n
    return centered / (square + _EPSILON).sqrt()
