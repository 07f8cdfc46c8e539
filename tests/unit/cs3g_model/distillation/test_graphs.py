"""Graph rows and the losses between them against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cs3g_model.distillation.graphs import attention_transfer_loss, mixing_loss
from cs3g_model.distillation.rows import LowRankRows, Rows, SparseRows, row_products, rows_of_graph
from cs3g_model.inputs import initial_tensors, snapshot_tensors
from tests.unit.cs3g_model.factories import make_snapshots, student_module, teacher_module

T, N, K, R = 5, 9, 4, 3


@pytest.fixture
def present() -> torch.Tensor:
    mask = torch.rand(T, N, generator=torch.Generator().manual_seed(1)) < 0.8
    mask[:, :4] = True
    return mask


def low_rank(present: torch.Tensor, seed: int) -> LowRankRows:
    g = torch.Generator().manual_seed(seed)
    query, key = torch.rand(2, T, N, R, generator=g) + 0.1
    return LowRankRows(query, key * present[..., None])


def sparse(present: torch.Tensor, seed: int) -> SparseRows:
    g = np.random.default_rng(seed)
    index = np.full((T, N, K), -1, np.int32)
    weight = np.zeros((T, N, K), np.float32)
    for t in range(T):
        for i in range(N):
            others = [j for j in range(N) if present[t, j] and j != i]
            n = int(g.integers(0, K + 1))
            index[t, i, :n] = g.permutation(others)[:n]
            weight[t, i, :n] = g.dirichlet(np.ones(n + 1))[:n]
    return SparseRows(torch.tensor(index), torch.tensor(weight))


def dense(rows: Rows, present: torch.Tensor, *, centered: bool) -> np.ndarray:
    if isinstance(rows, LowRankRows):
        a = np.einsum("tnr,tmr->tnm", rows.query.numpy(), rows.key.numpy())
        a = a / a.sum(2, keepdims=True)
    else:
        a = np.zeros((T, N, N))
        for t, i, k in np.ndindex(*rows.index.shape):
            if rows.index[t, i, k] >= 0:
                a[t, i, rows.index[t, i, k]] += float(rows.weight[t, i, k])
    if centered:
        p = present.numpy()[:, None, :]
        a = np.where(p, a - a.sum(2, keepdims=True) / p.sum(2, keepdims=True), 0.0)
    return a


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("kind", [sparse, low_rank])
def test_products_are_those_of_the_dense_rows(kind, present: torch.Tensor, centered: bool) -> None:
    teacher, student = kind(present, 2), low_rank(present, 3)
    a, s = (dense(rows, present, centered=centered) for rows in (teacher, student))
    p = row_products(teacher, student, present, centered=centered)
    np.testing.assert_allclose(p.teacher, (a * a).sum(2), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(p.student, (s * s).sum(2), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(p.cross, (a * s).sum(2), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("kind", [sparse, low_rank])
def test_losses_are_those_of_the_dense_matrices(kind, present: torch.Tensor, centered: bool) -> None:
    teacher, student = kind(present, 2), low_rank(present, 3)
    mask = present.clone()
    mask[0] = False
    mask[1, 2:] = False
    a, s = (dense(rows, present, centered=centered) for rows in (teacher, student))
    attention, mixing = [], []
    for t in range(1, T):
        rows = np.flatnonzero(mask[t].numpy())
        counted = [i for i in rows if np.abs(a[t, i]).sum() > 1e-6]
        if len(counted) >= 2:
            unit = [x[t, counted] / np.linalg.norm(x[t, counted], axis=1, keepdims=True) for x in (a, s)]
            attention.append(((unit[0] - unit[1]) ** 2).sum(1).mean())
        mixing.append(((a[t, rows] - s[t, rows]) ** 2).sum() / (a[t, rows] ** 2).sum())
    loss = attention_transfer_loss(teacher, student, mask, present, centered=centered)
    assert loss.item() == pytest.approx(np.mean(attention), rel=1e-3)
    loss = mixing_loss(teacher, student, mask, present, centered=centered)
    assert loss.item() == pytest.approx(np.mean(mixing), rel=1e-3)


def test_a_graph_has_no_distance_to_itself_and_an_empty_one_no_loss(present: torch.Tensor) -> None:
    student = low_rank(present, 3)
    scaled = LowRankRows(student.query * 3, student.key * 0.5)
    empty = SparseRows(torch.full((T, N, K), -1, dtype=torch.int32), torch.zeros(T, N, K))
    for loss in (attention_transfer_loss, mixing_loss):
        # Rows are divided by their sum, so that the factors' scale has no say.
        assert loss(scaled, student, present, present).item() == pytest.approx(0, abs=1e-4)
        assert loss(empty, student, present, present).item() == 0


def test_constant_rows_have_a_finite_gradient(present: torch.Tensor) -> None:
    query, key = torch.ones(2, T, N, R)
    query.requires_grad_()
    key.requires_grad_()
    for loss in (attention_transfer_loss, mixing_loss):
        student = LowRankRows(query, key * present[..., None])
        value = loss(sparse(present, 2), student, present, present)
        assert all(g.isfinite().all() for g in torch.autograd.grad(value, (query, key)))
    assert value.item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kept", [32, 3])
def test_rows_of_a_teachers_graph_average_its_heads(kept: int) -> None:
    x = snapshot_tensors(make_snapshots(T=4, N=11))
    teacher = teacher_module()
    with torch.no_grad():
        output, _ = teacher(x, initial_tensors(teacher.state_shapes(), 11))
    assert output.graph is not None
    rows = rows_of_graph(output.graph, kept)
    heads = output.graph.logits.shape[1]
    expected = np.zeros((4, 11, 11))
    for (source, destination), weight in zip(
        output.graph.edge_index.T.tolist(), output.graph.edge_weight.tolist(), strict=True
    ):
        t, i, j = destination // (heads * 11), destination % 11, source % 11
        assert source // (heads * 11) == t
        expected[t, i, j] += weight / heads
    assert rows.index.shape == (4, 11, min(kept, heads * 4))
    for t, i in np.ndindex(4, 11):
        weights = rows.weight[t, i].numpy()
        assert (np.diff(weights) <= 0).all()
        strongest = np.sort(expected[t, i])[::-1][: len(weights)]
        np.testing.assert_allclose(weights, strongest, atol=1e-6)
        for j, weight in zip(rows.index[t, i].tolist(), weights, strict=True):
            assert j >= 0 or weight == 0
            if j >= 0:
                assert weight == pytest.approx(expected[t, i, j], abs=1e-6)
    # Absent instruments neither send nor receive.
    assert (rows.index[~x.mask] == -1).all()
    sent = rows.index.clamp_min(0).long()
    assert x.mask.gather(1, sent.flatten(1)).view_as(sent)[rows.index >= 0].all()


def test_the_student_mixes_by_the_rows_that_it_tells() -> None:
    x = snapshot_tensors(make_snapshots(T=4, N=11))
    student = student_module()
    with torch.no_grad():
        output, _ = student(x, initial_tensors(student.state_shapes(), 11))
    assert output.graph_rows is not None
    query, key = output.graph_rows
    assert (query > 0).all()
    assert not key[~x.mask].any()
    v = torch.randn(4, 11, 6)
    a = torch.einsum("tnr,tmr->tnm", query, key)
    expected = (a / a.sum(2, keepdim=True)) @ v
    mixed = student.mixer(query, key, v).detach()
    torch.testing.assert_close(mixed, expected, rtol=1e-4, atol=1e-5)
