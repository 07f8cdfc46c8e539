"""Graph-structured losses: a student keeps how a teacher's states lie to each other, not where they lie.

Shapes: student (T, N, D) and teacher (T, N, E) states, each with a width of its own; mask (T, N) bool. A
window with fewer than two instruments adds nothing; the result is the mean over the other windows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import torch
from torch import Tensor

from cs3g_model.losses import mean_over_windows

__all__ = ["KERNELS", "Kernel", "global_structure_loss", "local_structure_loss"]

Kernel = Literal["cosine", "poly", "l2", "rbf"]

_EPSILON = 1e-6

KERNELS: Final[dict[Kernel, Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "cosine": lambda ab, aa, bb: ab / (aa * bb + _EPSILON**2).sqrt(),
    "poly": lambda ab, aa, bb: ab.square(),
    "l2": lambda ab, aa, bb: -((aa + bb - 2 * ab).clamp_min(0.0) + _EPSILON).sqrt(),
    "rbf": lambda ab, aa, bb: torch.exp(-0.5 * (aa + bb - 2 * ab).clamp_min(0.0)),
}
"""Similarity of two states, larger for closer, from <a, b> / D, <a, a> / D and <b, b> / D.

Over D, so that the teacher's width and the student's have no say.
"""


def local_structure_loss(
    student: Tensor,
    teacher: Tensor,
    index: Tensor,
    mask: Tensor,
    *,
    kernel: Kernel = "cosine",
    temperature: float = 1.0,
) -> Tensor:
    """Mean over windows and instruments i of KL(L_i of the teacher || L_i of the student).

    L_ij = exp(k(h_i, h_j) / tau) / sum over i's edges of the same: the local structure of Yang et al. 2020
    (LSP, arXiv 2003.10477), where tau = 1.

    Parameters
    ----------
    index
        (T, N, K) indices into N of the sources j of i's edges; -1 for none.
    mask
        Which i count, where i has at least two edges.
    kernel, temperature
        k and tau.
    """
    edges = index >= 0
    log_t = _log_softmax(_similarities(teacher, index, kernel) / temperature, edges)
    log_s = _log_softmax(_similarities(student, index, kernel) / temperature, edges)
    divergence = torch.where(edges, torch.exp(log_t) * (log_t - log_s), 0.0).sum(-1)
    return mean_over_windows(divergence, mask & (edges.sum(-1) >= 2))


def global_structure_loss(
    student: Tensor, teacher: Tensor, mask: Tensor, *, kernel: Kernel = "cosine"
) -> Tensor:
    """Mean over windows and pairs i != j of (k(h_i, h_j) of the student - the same of the teacher)^2.

    Global structure preserving, Joshi et al. 2021 (GSP, arXiv 2111.04964).
    """
    pairs = mask[:, :, None] & mask[:, None, :]
    pairs = pairs & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    error = _all_similarities(student, kernel) - _all_similarities(teacher, kernel)
    return mean_over_windows(error.square().flatten(1), pairs.flatten(1))


def _similarities(h: Tensor, index: Tensor, kernel: Kernel) -> Tensor:
    T, N, K = index.shape
    place = index.long().clamp_min(0).view(T, N * K)
    sources = h.gather(1, place[..., None].expand(-1, -1, h.shape[-1])).view(T, N, K, -1)
    square = h.square().mean(-1)  # (T, N)
    product = (h[:, :, None] * sources).mean(-1)
    return KERNELS[kernel](product, square[:, :, None], square.gather(1, place).view(T, N, K))


def _all_similarities(h: Tensor, kernel: Kernel) -> Tensor:
    square = h.square().mean(-1)
    return KERNELS[kernel](h @ h.transpose(1, 2) / h.shape[-1], square[:, :, None], square[:, None])


def _log_softmax(x: Tensor, edges: Tensor) -> Tensor:
    return torch.log_softmax(x.masked_fill(~edges, -1e30), dim=-1)
