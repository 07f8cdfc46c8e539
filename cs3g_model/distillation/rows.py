"""Rows of a graph as mixing matrices: a teacher's sparse ones, a low-rank model's, and their inner products.

Row i says how much of each instrument j reaches i. The (N, N) matrix is never formed: of a low-rank graph
s_i = phi(q_i) phi(K)^T / z_i with z_i = phi(q_i) . sum_j phi(k_j), norms and products follow from (R, R) sums.

    <s_i, s'_i> = phi(q_i)^T (sum_j phi(k_j) phi(k'_j)^T) phi(q'_i) / (z_i z'_i)
    <a_i, s_i>  = phi(q_i) . (sum_j a_ij phi(k_j)) / z_i

Centered rows have their mean over the present instruments taken out: the models mix centered values, to
which a constant row adds nothing. For that it is enough to center the keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cs3g_model.constants import EPSILON
from cs3g_model.inputs import Graph

__all__ = ["LowRankRows", "Products", "Rows", "SparseRows", "row_products", "rows_of_graph"]

KEPT_EDGES = 32
"""Edges per row that `rows_of_graph` keeps, the strongest: what H K = 32 of the default teacher can fill."""


@dataclass(frozen=True, slots=True)
class SparseRows:
    """Rows with few entries.

    Attributes
    ----------
    index
        (T, N, K) int32 of the sources j; -1 for none.
    weight
        (T, N, K) float32, at most 1 in sum over a row; 0 for none.
    """

    index: Tensor
    weight: Tensor


@dataclass(frozen=True, slots=True)
class LowRankRows:
    """Rows phi(q_i) phi(K)^T over their sum.

    Attributes
    ----------
    query, key
        phi(Q), phi(K), (T, N, R) and not negative; the key of an absent instrument is 0.
    """

    query: Tensor
    key: Tensor


Rows = SparseRows | LowRankRows


@dataclass(frozen=True, slots=True)
class Products:
    """Squared norms of two graphs' rows and their inner products, (T, N) each."""

    teacher: Tensor
    student: Tensor
    cross: Tensor


def row_products(teacher: Rows, student: LowRankRows, mask: Tensor, *, centered: bool) -> Products:
    """Compute norms and inner products of the rows of two graphs over the instruments of mask (T, N)."""
    z = student.query @ student.key.sum(1)[..., None] + EPSILON  # (T, N, 1)
    q = student.query / z
    keys = _centered(student.key, mask) if centered else student.key
    own = _quadratic(q, keys, q, keys)
    if isinstance(teacher, LowRankRows):
        p = teacher.query / (teacher.query @ teacher.key.sum(1)[..., None] + EPSILON)
        theirs = _centered(teacher.key, mask) if centered else teacher.key
        return Products(_quadratic(p, theirs, p, theirs), own, _quadratic(p, theirs, q, keys))
    norm = teacher.weight.square().sum(-1)
    if centered:
        norm = norm - teacher.weight.sum(-1).square() / mask.sum(1, keepdim=True).clamp_min(1)
    T, N, K = teacher.index.shape
    flat = teacher.index.long().clamp_min(0).view(T, N * K, 1).expand(-1, -1, keys.shape[-1])
    # Centered keys already sum to 0, so the teacher's mean would add nothing to the product.
    sent = torch.einsum("tnk,tnkr->tnr", teacher.weight, keys.gather(1, flat).view(T, N, K, -1))
    return Products(norm, own, (q * sent).sum(-1))


def rows_of_graph(graph: Graph, kept: int = KEPT_EDGES) -> SparseRows:
    """Average the heads of a learned graph into one row for each instrument.

    Attention transfer sums a layer's maps over its channels; heads are the channels here.

    Parameters
    ----------
    graph
        Of T windows and H heads.
    kept
        Edges kept in a row, the strongest; all of them if H K is no more.
    """
    T, H, N, K = graph.logits.shape
    source, destination = graph.edge_index
    row = destination // (H * N) * N + destination % N
    key, place = torch.unique(row * N + source % N, return_inverse=True)
    weight = graph.edge_weight.new_zeros(len(key)).index_add_(0, place, graph.edge_weight) / H
    order = weight.argsort(descending=True, stable=True)
    order = order[(key // N)[order].argsort(stable=True)]  # by row, the strongest first
    row, source, weight = (key // N)[order], (key % N)[order], weight[order]
    slot = torch.arange(len(row), device=row.device) - torch.searchsorted(row, row)
    width = min(kept, H * K)
    inside = slot < width
    index = torch.full((T * N, width), -1, dtype=torch.int32, device=row.device)
    weights = weight.new_zeros(T * N, width)
    index[row[inside], slot[inside]] = source[inside].int()
    weights[row[inside], slot[inside]] = weight[inside]
    return SparseRows(index.view(T, N, width), weights.view(T, N, width))


def _centered(key: Tensor, mask: Tensor) -> Tensor:
    m = mask[..., None].to(key.dtype)
    return (key - (key * m).sum(1, keepdim=True) / m.sum(1, keepdim=True).clamp_min(1)) * m


def _quadratic(p: Tensor, a: Tensor, q: Tensor, b: Tensor) -> Tensor:
    # p_i^T (sum_j a_j b_j^T) q_i for each i
    return ((p @ (a.transpose(1, 2) @ b)) * q).sum(-1)
