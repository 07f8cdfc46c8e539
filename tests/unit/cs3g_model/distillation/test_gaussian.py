"""DCKD's terms against scipy and against loops over the pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm

from cs3g_model.distillation import gaussian

MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=torch.bool)
TEACHER = (
    torch.tensor([[0.1, -0.4, 1.0, 0.3], [0.2, 0.0, 9.0, 9.0], [1.0, 9.0, 9.0, 9.0]]),
    torch.tensor([[0.0, 0.5, -0.5, 0.2], [0.1, -0.3, 3.0, 3.0], [0.0, 3.0, 3.0, 3.0]]),
)
STUDENT = (
    torch.tensor([[0.3, -0.1, 0.2, 0.9], [0.1, 0.4, -9.0, 9.0], [2.0, -9.0, 9.0, 9.0]]),
    torch.tensor([[0.4, 0.1, -0.2, 0.0], [0.3, 0.2, -3.0, 3.0], [0.5, -3.0, 3.0, 3.0]]),
)


def densities(pair: tuple[torch.Tensor, torch.Tensor], t: int, i: int) -> tuple[float, float]:
    return float(pair[0][t, i]), math.exp(pair[1][t, i])


def test_kl_is_the_integral() -> None:
    def divergence(t: int, i: int) -> float:
        p, q = norm(*densities(TEACHER, t, i)), norm(*densities(STUDENT, t, i))
        return float(quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), -20, 20)[0])

    expected = (
        np.mean([divergence(0, i) for i in range(4)]) + np.mean([divergence(1, i) for i in (0, 1)])
    ) / 2
    assert gaussian.gaussian_kl(TEACHER, STUDENT, MASK).item() == pytest.approx(expected, rel=1e-5)
    assert gaussian.gaussian_kl(TEACHER, TEACHER, MASK).item() == pytest.approx(0, abs=1e-6)


def reference_distances(pair: tuple[torch.Tensor, torch.Tensor], t: int, n: int) -> np.ndarray:
    d = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            (mi, si), (mj, sj) = densities(pair, t, i), densities(pair, t, j)
            d[i, j] = 0.5 * (1 / si**2 + 1 / sj**2) * ((si - sj) ** 2 + (mi - mj) ** 2)
    return d / (d.sum() / (n * (n - 1)))


def test_distances_are_over_their_mean() -> None:
    d = gaussian.pair_distances(TEACHER, MASK)
    np.testing.assert_allclose(d[0], reference_distances(TEACHER, 0, 4), rtol=1e-5)
    np.testing.assert_allclose(d[1, :2, :2], [[0, 1], [1, 0]], atol=1e-6)
    assert not d[1, 2:].any()
    assert not d[2].any()


def test_cosines_are_the_overlap_of_the_densities() -> None:
    cos = gaussian.pair_cosines(TEACHER)
    for i in range(4):
        for j in range(4):
            p, q = norm(*densities(TEACHER, 0, i)), norm(*densities(TEACHER, 0, j))
            product = quad(lambda x, p=p, q=q: p.pdf(x) * q.pdf(x), -20, 20)[0]
            length = [quad(lambda x, f=f: f.pdf(x) ** 2, -20, 20)[0] for f in (p, q)]
            assert cos[0, i, j].item() == pytest.approx(product / np.sqrt(length[0] * length[1]), rel=1e-5)


def smooth(e: np.ndarray) -> np.ndarray:
    return np.where(np.abs(e) < 1, 0.5 * e**2, np.abs(e) - 0.5)


def test_pair_losses_average_windows_over_their_pairs() -> None:
    off = ~np.eye(4, dtype=bool)
    first = reference_distances(STUDENT, 0, 4) - reference_distances(TEACHER, 0, 4)
    # In the second window there is one pair, whose distance over its mean is 1 for both.
    expected = smooth(first)[off].mean() / 2
    assert gaussian.pair_distance_loss(TEACHER, STUDENT, MASK).item() == pytest.approx(expected, rel=1e-4)

    cos_t, cos_s = gaussian.pair_cosines(TEACHER).numpy(), gaussian.pair_cosines(STUDENT).numpy()
    expected = (smooth(cos_s[0] - cos_t[0])[off].mean() + smooth(cos_s[1, 0, 1] - cos_t[1, 0, 1])) / 2
    assert gaussian.pair_cosine_loss(TEACHER, STUDENT, MASK).item() == pytest.approx(expected, rel=1e-4)
    for loss in (gaussian.pair_distance_loss, gaussian.pair_cosine_loss):
        assert loss(TEACHER, TEACHER, MASK).item() == 0


def test_what_is_absent_has_no_gradient() -> None:
    student = tuple(x.clone().requires_grad_() for x in STUDENT)
    for loss in (gaussian.gaussian_kl, gaussian.pair_distance_loss, gaussian.pair_cosine_loss):
        gradients = torch.autograd.grad(loss(TEACHER, student, MASK), student)
        for gradient in gradients:
            assert gradient[MASK].any()
            assert not gradient[~MASK].any()
            assert not gradient[2].any()
