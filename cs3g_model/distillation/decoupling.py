"""The three terms of explanation-based bias decoupling, carried over from EBD-Reg (arXiv 2404.13390).

Its keywords are words of a sentence, here entries M (T, N, F) of the features (see `explanations`); its
attention to words is the student's attribution; its prediction is the order of the instruments.
mask (T, N) bool: which instruments count.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cs3g_model.losses import listwise_loss, mean_over_windows

__all__ = ["aligning_loss", "decoupling_loss", "distinguishing_loss", "uninformative_loss"]


def distinguishing_loss(logits: Tensor, keywords: Tensor, mask: Tensor) -> Tensor:
    """Mean over windows and entries of the binary cross-entropy of M given the logits (T, N, F).

    EBD-Reg's L_ER: can the states tell keyword from bias? The logits come from a head that is thrown away.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, keywords.to(logits.dtype), reduction="none")
    return mean_over_windows(entropy.mean(-1), mask)


def decoupling_loss(attribution: Tensor, keywords: Tensor, mask: Tensor, floor: float = 0.0) -> Tensor:
    """Mean over windows of ||(1 - M) * g||_1 / (||g||_1 + floor), the attribution's mass that is off the keywords.

    EBD-Reg's L_SA: the student attends to keywords only.

    Parameters
    ----------
    attribution
        g of the student, (T, N, F), with a gradient in its parameters.
    floor
        Mean |g| of an entry below which the window hardly counts: without it the gradient of a fresh student,
        whose scores are near 0, is without bound.
    """
    size = torch.where(mask[..., None], attribution.abs(), 0.0)
    off = torch.where(keywords, 0.0, size).sum((1, 2))
    entries = mask.sum(1) * attribution.shape[-1]
    counted = mask.sum(1) >= 2
    share = off / (size.sum((1, 2)) + floor * entries).clamp_min(1e-12)
    return torch.where(counted, share, 0.0).sum() / counted.sum().clamp_min(1)


def aligning_loss(scores: Tensor, teacher: Tensor, mask: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the listwise divergence of the teacher's scores on x and the student's on the keywords M * x alone.

    EBD-Reg's L_SI: the keywords suffice for the prediction.
    """
    return listwise_loss(scores, teacher, mask, temperature)


def uninformative_loss(scores: Tensor, mask: Tensor) -> Tensor:
    """Mean over windows of the variance of the student's scores on the bias (1 - M) * x alone.

    The other half of L_SI: what is no keyword should order nothing.
    """
    n = mask.sum(1, keepdim=True).clamp_min(1)
    mean = torch.where(mask, scores, 0.0).sum(1, keepdim=True) / n
    return mean_over_windows((scores - mean).square(), mask)
