"""Every loss against its equation, computed by hand or by scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy, norm, rankdata

from cs3g_model import losses

X = torch.tensor([[1.0, 2.0, 4.0, 9.0], [3.0, 1.0, 0.0, 0.0], [5.0, 5.0, 5.0, 5.0]])
Y = torch.tensor([[0.5, 2.5, 3.0, -1.0], [1.0, -1.0, 9.0, 9.0], [1.0, 2.0, 9.0, 9.0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=torch.bool)


def test_zscore_standardizes_the_present_and_clips() -> None:
    z = losses.zscore(X, MASK)
    row = X[0].numpy()
    np.testing.assert_allclose(z[0], (row - row.mean()) / row.std(), rtol=1e-5)
    np.testing.assert_allclose(z[1], [1, -1, 0, 0], rtol=1e-5)
    assert not z[2].any()
    assert losses.zscore(torch.tensor([[0.0] * 30 + [1.0]]), torch.ones(1, 31, dtype=torch.bool)).max() == 3


def test_gaussian_rank_is_the_normal_quantile() -> None:
    values = torch.tensor([[0.3, -2.0, 50.0, 1.0, 7.0]])
    mask = torch.tensor([[True, True, True, True, False]])
    expected = norm.ppf((rankdata(values[0, :4]) - 0.5) / 4)
    np.testing.assert_allclose(losses.gaussian_rank(values, mask)[0, :4], expected, rtol=1e-5)
    assert losses.gaussian_rank(values, mask)[0, 4] == 0


def test_squared_error_averages_windows_with_two_instruments() -> None:
    expected = (np.mean((X[0] - Y[0]).numpy() ** 2) + np.mean((X[1, :2] - Y[1, :2]).numpy() ** 2)) / 2
    assert losses.squared_error(X, Y, MASK).item() == pytest.approx(expected)


def test_gaussian_nll_is_the_likelihood_and_spares_the_scores() -> None:
    scores, log_sigma = X.clone().requires_grad_(), torch.full_like(X, 0.3, requires_grad=True)
    loss = losses.gaussian_nll(scores, log_sigma, Y, MASK)
    row = -norm.logpdf(Y[0].numpy(), X[0].numpy(), np.exp(0.3)) - 0.5 * np.log(2 * np.pi)
    pair = -norm.logpdf(Y[1, :2].numpy(), X[1, :2].numpy(), np.exp(0.3)) - 0.5 * np.log(2 * np.pi)
    assert loss.item() == pytest.approx((row.mean() + pair.mean()) / 2, rel=1e-5)
    loss.backward()
    assert scores.grad is None
    assert log_sigma.grad is not None


def test_pairwise_counts_discordant_pairs() -> None:
    total = 0.0
    for i in range(4):
        for j in range(4):
            total += max(0.0, -float((X[0, i] - X[0, j]) * (Y[0, i] - Y[0, j])))
    pair = max(0.0, -float((X[1, 0] - X[1, 1]) * (Y[1, 0] - Y[1, 1]))) * 2
    # The third window has one instrument, hence one pair with itself, and does not count.
    assert losses.pairwise_loss(X[:1], Y[:1], MASK[:1]).item() == pytest.approx(total / 16)
    assert losses.pairwise_loss(X[1:2], Y[1:2], MASK[1:2]).item() == pytest.approx(pair / 4)
    assert losses.pairwise_loss(X[2:], Y[2:], MASK[2:]).item() == 0


@pytest.mark.parametrize("tau", [0.5, 2.0])
def test_listwise_is_the_tempered_divergence(tau: float) -> None:
    rows = [
        tau**2 * entropy(softmax(Y[t, m].numpy() / tau), softmax(X[t, m].numpy() / tau))
        for t, m in ((0, slice(None)), (1, slice(2)))
    ]
    assert losses.listwise_loss(X, Y, MASK, tau).item() == pytest.approx(np.mean(rows), rel=1e-5)
    shifted = losses.listwise_loss(X + 3.0, Y, MASK, tau)
    torch.testing.assert_close(shifted, losses.listwise_loss(X, Y, MASK, tau))
    assert losses.listwise_loss(Y, Y, MASK, tau).item() == pytest.approx(0, abs=1e-6)


def test_ic_is_one_minus_the_correlation() -> None:
    # The second window holds two instruments in the same order: a correlation of 1.
    expected = (1 - np.corrcoef(X[0].numpy(), Y[0].numpy())[0, 1]) / 2
    assert losses.ic_loss(X, Y, MASK, floor=0.0).item() == pytest.approx(expected, rel=1e-5)
    scaled = losses.ic_loss(5 * X + 1, Y, MASK, floor=0.0)
    torch.testing.assert_close(scaled, losses.ic_loss(X, Y, MASK, floor=0.0))
    shrunk = 1 - np.cov(X[0], Y[0], bias=True)[0, 1] / np.sqrt((X[0].numpy().var() + 4) * Y[0].numpy().var())
    assert losses.ic_loss(X[:1], Y[:1], MASK[:1], floor=2.0).item() == pytest.approx(shrunk, rel=1e-5)


def test_ic_of_scores_that_do_not_vary_has_a_finite_gradient_uphill() -> None:
    scores = torch.zeros_like(Y[:1], requires_grad=True)
    loss = losses.ic_loss(scores, Y[:1], MASK[:1])
    assert loss.item() == 1
    (gradient,) = torch.autograd.grad(loss, scores)
    assert gradient.isfinite().all()
    assert np.corrcoef(-gradient[0].numpy(), Y[0].numpy())[0, 1] == pytest.approx(1)


def test_hint_is_the_mean_square_over_channels() -> None:
    a, b = torch.randn(2, 3, 4, 5)
    expected = ((a - b)[0].square().mean() + (a - b)[1, :2].square().mean()) / 2
    torch.testing.assert_close(losses.hint_loss(a, b, MASK), expected)


def test_no_instrument_at_all_is_a_loss_of_zero() -> None:
    nobody = torch.zeros_like(MASK)
    for value in (losses.squared_error(X, Y, nobody), losses.listwise_loss(X, Y, nobody, 1.0)):
        assert value.item() == 0
