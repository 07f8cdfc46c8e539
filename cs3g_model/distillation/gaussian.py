"""Predictive distributions and their pairwise structure: DCKD, Li et al. 2022 (arXiv 2208.07232).

A model that tells a mean mu and a deviation sigma for each instrument predicts N(mu, sigma^2). Shapes: mean,
log_sigma (T, N); mask (T, N) bool; log deviations are clamped to +-5. A window with fewer than two instruments
adds nothing; the result is the mean over the other windows.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cs3g_model.losses import mean_over_windows

__all__ = ["gaussian_kl", "pair_cosine_loss", "pair_cosines", "pair_distance_loss", "pair_distances"]

_EPSILON = 1e-8
_LIMIT = 5.0

Gaussian = tuple[Tensor, Tensor]
"""Mean and log deviation, (T, N) each."""


def gaussian_kl(teacher: Gaussian, student: Gaussian, mask: Tensor) -> Tensor:
    """Mean over windows and instruments of KL(N_T || N_S), the equation of DCKD's section 3.2.

    KL = log(sigma_S / sigma_T) + (sigma_T^2 + (mu_T - mu_S)^2) / (2 sigma_S^2) - 1/2
    """
    (mean_t, log_t), (mean_s, log_s) = _clamped(teacher), _clamped(student)
    squared = torch.exp(2 * log_t) + (mean_t - mean_s).square()
    return mean_over_windows(log_s - log_t + 0.5 * squared * torch.exp(-2 * log_s) - 0.5, mask)


def pair_distances(gaussian: Gaussian, mask: Tensor) -> Tensor:
    """Compute d_ij / mean of d over the pairs of the window, the symmetric divergence of two instruments.

    d_ij = 1/2 (1/sigma_i^2 + 1/sigma_j^2) ((sigma_i - sigma_j)^2 + (mu_i - mu_j)^2)

    Returns
    -------
    (T, N, N); 0 where i = j or one of them does not count.
    """
    mean, log_sigma = _clamped(gaussian)
    sigma, precision = torch.exp(log_sigma), torch.exp(-2 * log_sigma)
    squares = _differences(sigma).square() + _differences(mean).square()
    d = 0.5 * (precision[:, :, None] + precision[:, None, :]) * squares
    pairs = _pairs(mask)
    d = torch.where(pairs, d, 0.0)
    average = d.sum((1, 2), keepdim=True) / pairs.sum((1, 2), keepdim=True).clamp_min(1)
    return d / (average + _EPSILON)


def pair_cosines(gaussian: Gaussian) -> Tensor:
    """Compute the cosine of two instruments' densities as functions, (T, N, N).

    cos_ij = exp(-(mu_i - mu_j)^2 / (2 (sigma_i^2 + sigma_j^2)))
             / sqrt((sigma_i^2 + sigma_j^2) / (2 sigma_i sigma_j))
    """
    mean, log_sigma = _clamped(gaussian)
    variance = torch.exp(2 * log_sigma)
    total = variance[:, :, None] + variance[:, None, :]
    product = torch.exp(log_sigma[:, :, None] + log_sigma[:, None, :])
    return torch.exp(-0.5 * _differences(mean).square() / total) * (2 * product / total).sqrt()


def pair_distance_loss(teacher: Gaussian, student: Gaussian, mask: Tensor) -> Tensor:
    """Mean over windows and pairs i != j of smoothL1(d_T - d_S) of the normalized `pair_distances`."""
    error = functional.smooth_l1_loss(
        pair_distances(student, mask), pair_distances(teacher, mask), reduction="none"
    )
    return mean_over_windows(error.flatten(1), _pairs(mask).flatten(1))


def pair_cosine_loss(teacher: Gaussian, student: Gaussian, mask: Tensor) -> Tensor:
    """Mean over windows and pairs i != j of smoothL1(cos_T - cos_S) of the `pair_cosines`."""
    error = functional.smooth_l1_loss(pair_cosines(student), pair_cosines(teacher), reduction="none")
    return mean_over_windows(error.flatten(1), _pairs(mask).flatten(1))


def _clamped(gaussian: Gaussian) -> Gaussian:
    mean, log_sigma = gaussian
    return mean, log_sigma.clamp(-_LIMIT, _LIMIT)


def _differences(x: Tensor) -> Tensor:
    return x[:, :, None] - x[:, None, :]


def _pairs(mask: Tensor) -> Tensor:
    pairs = mask[:, :, None] & mask[:, None, :]
    return pairs & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
