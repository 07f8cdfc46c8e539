"""Losses between a teacher's graph and a student's low-rank one, row by row; see `rows` for how.

Shapes: rows of T windows and N instruments; mask (T, N) bool, whose rows count; present (T, N) bool, which
instruments may stand in a row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cs3g_model.distillation.rows import LowRankRows, Rows, row_products
from cs3g_model.losses import mean_over_windows

__all__ = ["attention_transfer_loss", "mixing_loss"]

_EPSILON = 1e-12


def attention_transfer_loss(
    teacher: Rows, student: LowRankRows, mask: Tensor, present: Tensor, *, centered: bool = True
) -> Tensor:
    """Mean over windows and rows of ||a_i / ||a_i|| - s_i / ||s_i|| ||^2 = 2 - 2 cos(a_i, s_i).

    Zagoruyko & Komodakis 2017 (arXiv 1612.03928) with rows of the graph for maps of attention. Rows in
    which the teacher has no edge do not count.
    """
    p = row_products(teacher, student, present, centered=centered)
    counted = mask & (p.teacher > _EPSILON)
    scale = (torch.where(counted, p.teacher, 1.0) * p.student.clamp_min(0.0) + _EPSILON**2).sqrt()
    return mean_over_windows(2 - 2 * p.cross / scale, counted)


def mixing_loss(
    teacher: Rows, student: LowRankRows, mask: Tensor, present: Tensor, *, centered: bool = True
) -> Tensor:
    """Mean over windows of ||M_T - M_S||_F^2 / ||M_T||_F^2 over the rows that count.

    The matrix orientation of MOHAWK's first stage (Bick et al. 2024, arXiv 2408.10189), squared, and relative
    to the teacher so that neither N nor the number of its edges decides the scale: a student whose rows are
    constant has 1 where `centered`. Windows in which the teacher has no edge do not count.
    """
    p = row_products(teacher, student, present, centered=centered)
    rows = mask.to(p.cross.dtype)
    norm = (p.teacher * rows).sum(1)
    error = ((p.teacher - 2 * p.cross + p.student) * rows).sum(1)
    counted = (norm > _EPSILON) & (mask.sum(1) >= 2)
    relative = torch.where(counted, error / torch.where(counted, norm, 1.0), 0.0)
    return relative.sum() / counted.sum().clamp_min(1)
