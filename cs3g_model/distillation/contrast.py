"""Contrast of a student's states with a teacher's (G-CRD, Joshi et al. 2021, arXiv 2111.04964)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cs3g_model.losses import mean_over_windows

__all__ = ["contrastive_loss"]


def contrastive_loss(student: Tensor, teacher: Tensor, mask: Tensor, temperature: float = 0.07) -> Tensor:
    """Mean over windows and instruments i of InfoNCE, which asks for the teacher's i among its instruments.

    -log exp(cos(s_i, t_i) / tau) / sum_j exp(cos(s_i, t_j) / tau)

    The others of the same window are the negatives, so that the date cannot tell them apart.

    Parameters
    ----------
    student, teacher
        (T, N, P) projected states.
    mask
        (T, N) bool, which instruments count, as i and as j.
    temperature
        tau > 0.
    """
    s, t = (functional.normalize(x, dim=-1, eps=1e-6) for x in (student, teacher))
    logits = (s @ t.transpose(1, 2) / temperature).masked_fill(~mask[:, None, :], -1e30)
    own = torch.log_softmax(logits, dim=-1).diagonal(dim1=1, dim2=2)
    return mean_over_windows(-own, mask)
