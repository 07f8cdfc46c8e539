"""Local and global structure, and contrast, against loops over the instruments."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from cs3g_model.distillation.contrast import contrastive_loss
from cs3g_model.distillation.structure import KERNELS, global_structure_loss, local_structure_loss

T, N, K = 3, 6, 4
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 0, 1, 1, 0, 0], [0, 0, 1, 0, 0, 0]], dtype=torch.bool)


def similarity(a: np.ndarray, b: np.ndarray, kernel: str) -> float:
    match kernel:
        case "cosine":
            return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        case "poly":
            return float((a * b).mean() ** 2)
        case "l2":
            return -float(np.sqrt(((a - b) ** 2).mean()))
        case _:
            return float(np.exp(-0.5 * ((a - b) ** 2).mean()))


@pytest.fixture
def states() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(T, N, 5, generator=g), torch.randn(T, N, 8, generator=g)


@pytest.fixture
def index() -> torch.Tensor:
    g = np.random.default_rng(2)
    out = np.full((T, N, K), -1)
    for t, i in np.ndindex(T, N):
        n = int(g.integers(1, K + 1))
        out[t, i, :n] = g.permutation([j for j in range(N) if j != i])[:n]
    out[0, 0] = [3, -1, -1, -1]  # one edge has no structure
    return torch.tensor(out)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("tau", [1.0, 0.3])
def test_local_structure_is_the_divergence_over_each_ones_edges(states, index, kernel, tau) -> None:
    student, teacher = states
    means = []
    for t in range(T):
        row = []
        for i in range(N):
            edges = [j for j in index[t, i].tolist() if j >= 0]
            if MASK[t, i] and len(edges) >= 2:
                p, q = (
                    softmax([similarity(h[t, i].numpy(), h[t, j].numpy(), kernel) / tau for j in edges])
                    for h in (teacher, student)
                )
                row.append(entropy(p, q))
        if len(row) >= 2:
            means.append(np.mean(row))
    assert len(means) == 2
    loss = local_structure_loss(student, teacher, index, MASK, kernel=kernel, temperature=tau)
    assert loss.item() == pytest.approx(np.mean(means), rel=1e-3)
    same = local_structure_loss(teacher, teacher, index, MASK, kernel=kernel, temperature=tau)
    assert same.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_global_structure_is_the_squared_error_of_all_pairs(states, kernel) -> None:
    student, teacher = states
    means = []
    for t in range(2):
        nodes = np.flatnonzero(MASK[t].numpy())
        errors = [
            (
                similarity(student[t, i].numpy(), student[t, j].numpy(), kernel)
                - similarity(teacher[t, i].numpy(), teacher[t, j].numpy(), kernel)
            )
            ** 2
            for i in nodes
            for j in nodes
            if i != j
        ]
        means.append(np.mean(errors))
    loss = global_structure_loss(student, teacher, MASK, kernel=kernel)
    assert loss.item() == pytest.approx(np.mean(means), rel=1e-3)


@pytest.mark.parametrize("kernel", KERNELS)
def test_structure_is_blind_to_width_and_has_finite_gradients_at_nothing(states, index, kernel) -> None:
    student, _ = states
    doubled = torch.cat([student, student], dim=-1)
    assert global_structure_loss(doubled, student, MASK, kernel=kernel).item() == pytest.approx(0, abs=1e-6)
    zero = torch.zeros_like(student, requires_grad=True)
    loss = global_structure_loss(zero, student, MASK, kernel=kernel) + local_structure_loss(
        zero, student, index, MASK, kernel=kernel
    )
    (gradient,) = torch.autograd.grad(loss, zero)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("tau", [1.0, 0.1])
def test_contrast_is_the_cross_entropy_of_who_is_who(tau: float) -> None:
    student, teacher = torch.randn(2, T, N, 7, generator=torch.Generator().manual_seed(3))
    means = []
    for t in range(2):
        nodes = np.flatnonzero(MASK[t].numpy())
        s, v = (
            x[t, nodes].numpy() / np.linalg.norm(x[t, nodes], axis=1, keepdims=True)
            for x in (student, teacher)
        )
        means.append(-np.diag(log_softmax(s @ v.T / tau, axis=1)).mean())
    loss = contrastive_loss(student, teacher, MASK, tau)
    assert loss.item() == pytest.approx(np.mean(means), rel=1e-4)
    assert contrastive_loss(teacher, teacher, MASK, 0.01).item() == pytest.approx(0, abs=1e-3)
