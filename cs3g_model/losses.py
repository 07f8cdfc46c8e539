"""Losses over the instruments of each window, each a function with its equation.

Shapes: scores, targets (T, N); mask (T, N) bool. A window with fewer than two instruments adds nothing;
the result is the mean over the other windows, 0 if there is none.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "gaussian_nll",
    "gaussian_rank",
    "hint_loss",
    "ic_loss",
    "listwise_loss",
    "mean_over_windows",
    "pairwise_loss",
    "squared_error",
    "zscore",
]

_EPSILON = 1e-8


def zscore(x: Tensor, mask: Tensor, limit: float = 3.0) -> Tensor:
    """Standardize x (T, N) across the instruments of each window, clipped at +-limit; 0 where absent."""
    m = mask.to(x.dtype)
    n = m.sum(1, keepdim=True).clamp_min(1)
    x = torch.where(mask, x, 0.0)
    centered = (x - x.sum(1, keepdim=True) / n) * m
    deviation = (centered.square().sum(1, keepdim=True) / n).sqrt()
    return (centered / (deviation + _EPSILON)).clamp(-limit, limit)


def gaussian_rank(x: Tensor, mask: Tensor) -> Tensor:
    """Replace x by the normal quantile of its rank in the window, Phi^-1((rank - 1/2) / n); 0 where absent.

    Ties are broken by position.
    """
    n = mask.sum(1, keepdim=True).clamp_min(1)
    order = torch.where(mask, x, torch.inf).argsort(dim=1, stable=True)
    rank = order.argsort(dim=1).to(x.dtype)
    quantile = ((rank + 0.5) / n).clamp(1e-6, 1 - 1e-6)
    return torch.where(mask, math.sqrt(2) * torch.erfinv(2 * quantile - 1), 0.0)


def squared_error(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Mean over windows of mean_i (s_i - y_i)^2."""
    return mean_over_windows((scores - targets).square(), mask)


def gaussian_nll(scores: Tensor, log_dispersion: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Mean over windows of mean_i [log sigma_i + (y_i - s_i)^2 / (2 sigma_i^2)]; the scores get no gradient.

    The score is fitted by its own loss; this one only teaches the dispersion.
    """
    log_sigma = log_dispersion.clamp(-5.0, 5.0)
    error = (targets - scores.detach()).square()
    return mean_over_windows(log_sigma + 0.5 * error * torch.exp(-2 * log_sigma), mask)


def pairwise_loss(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Mean over windows of mean_ij max(0, -(s_i - s_j) (y_i - y_j)) (Feng et al. 2019, arXiv 1809.09441)."""
    products = (scores[:, :, None] - scores[:, None, :]) * (targets[:, :, None] - targets[:, None, :])
    pairs = mask[:, :, None] & mask[:, None, :]
    return mean_over_windows(torch.relu(-products).flatten(1), pairs.flatten(1))


def listwise_loss(scores: Tensor, teacher: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Mean over windows of tau^2 KL(softmax(t / tau) || softmax(s / tau)) over the instruments.

    Hinton et al. 2015 (arXiv 1503.02531) with instruments for classes. It sees differences of scores only,
    not their level.
    """
    p = torch.log_softmax((teacher / temperature).masked_fill(~mask, -1e30), dim=1)
    q = torch.log_softmax((scores / temperature).masked_fill(~mask, -1e30), dim=1)
    divergence = torch.where(mask, torch.exp(p) * (p - q), 0.0).sum(1)
    counted = mask.sum(1) >= 2
    total = torch.where(counted, divergence, 0.0).sum()
    return temperature**2 * total / counted.sum().clamp_min(1)


def ic_loss(scores: Tensor, targets: Tensor, mask: Tensor, floor: float = 1e-3) -> Tensor:
    """Mean over windows of 1 - cov(s, y) / sqrt((var s + floor^2) var y), one minus Pearson's correlation.

    The floor, in units of the scores, keeps the gradient finite where the scores do not vary, as a fresh
    model's do not. Targets that do not vary give 1.
    """
    n = mask.sum(1, keepdim=True).clamp_min(1)
    s, y = (torch.where(mask, v, 0.0) for v in (scores, targets))
    s, y = (torch.where(mask, v - v.sum(1, keepdim=True) / n, 0.0) for v in (s, y))
    deviation = (s.square().sum(1) / n[:, 0] + floor**2).sqrt()
    spread = (y.square().sum(1) / n[:, 0]).sqrt()
    correlation = (s * y).sum(1) / n[:, 0] / (deviation * spread + _EPSILON)
    counted = mask.sum(1) >= 2
    return torch.where(counted, 1.0 - correlation, 0.0).sum() / counted.sum().clamp_min(1)


def hint_loss(guided: Tensor, hint: Tensor, mask: Tensor) -> Tensor:
    """Mean over windows of mean_i ||g_i - h_i||^2 / D, (T, N, D) each (Romero et al. 2015, 1412.6550)."""
    return mean_over_windows((guided - hint).square().mean(-1), mask)


def mean_over_windows(x: Tensor, mask: Tensor) -> Tensor:
    """Average x (T, M) over the entries of each window where mask (T, M) is set, then over windows.

    Windows with fewer than two entries do not count.
    """
    n = mask.sum(1)
    counted = n >= 2
    means = torch.where(mask, x, 0.0).sum(1) / n.clamp_min(1)
    return torch.where(counted, means, 0.0).sum() / counted.sum().clamp_min(1)
