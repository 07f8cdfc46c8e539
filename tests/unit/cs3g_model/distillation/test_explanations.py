"""Attributions, keywords, and the three terms of bias decoupling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from scipy.stats import entropy

from cs3g_model.distillation.decoupling import (
    aligning_loss,
    decoupling_loss,
    distinguishing_loss,
    uninformative_loss,
)
from cs3g_model.distillation.explanations import attributions, keyword_mask, sensitivities
from cs3g_model.inputs import initial_tensors, snapshot_tensors
from tests.unit.cs3g_model.factories import make_snapshots, student_module, teacher_module

MASK = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=torch.bool)


@pytest.mark.parametrize("make", [student_module, teacher_module])
def test_a_sensitivity_is_the_slope_of_the_summed_scores(make) -> None:
    model = make().double()
    x = snapshot_tensors(make_snapshots(T=4, N=6), torch.float64)
    state = initial_tensors(model.state_shapes(), 6, torch.float64)
    slope = sensitivities(model, x, state)
    assert slope.shape == x.features.shape
    assert not slope.requires_grad
    step = 1e-6
    for t, i, f in ((0, 2, 0), (2, 1, 5), (3, 4, 11)):
        sums = []
        for sign in (1, -1):
            features = x.features.clone()
            features[t, i, f] += sign * step
            with torch.no_grad():
                sums.append(model(replace(x, features=features), state)[0].scores.sum().item())
        assert slope[t, i, f].item() == pytest.approx((sums[0] - sums[1]) / (2 * step), abs=1e-6)
    assert torch.equal(attributions(x.features, slope), x.features * slope)


def test_keywords_are_large_and_steady() -> None:
    # One window's entries are 3 instruments x 2 features; the share of 0.5 takes the 3 largest of |x s|.
    features = torch.tensor(
        [
            [[1.0, 9.0], [-5.0, 0.1], [7.0, 0.0]],
            [[-1.0, -9.0], [5.0, 0.1], [0.1, 7.0]],
            [[0.1, 9.0], [5.0, 7.0], [0.1, 0.2]],
        ]
    )
    slopes = torch.ones_like(features)
    slopes[2, 0, 1] = -1.0
    everyone = torch.ones(3, 3, dtype=torch.bool)
    expected = torch.tensor(
        [
            [[0, 1], [1, 0], [0, 0]],
            # (0, 1) goes on from the first window, though its slope turns in the third.
            [[0, 1], [1, 0], [0, 0]],
            [[0, 0], [1, 0], [0, 0]],
        ],
        dtype=torch.bool,
    )
    assert torch.equal(keyword_mask(features, [slopes], everyone, share=0.5), expected)
    # All entries are prominent: what turns in the third window, or is 0, is still none there.
    whole = keyword_mask(features, [slopes], everyone, share=1.0)
    assert not whole[2, 0, 1]
    assert not whole[0, 2, 1]
    assert whole.sum() == 18 - 2


def test_several_teachers_must_agree_on_keyword_and_direction() -> None:
    features = torch.ones(3, 1, 2)
    everyone = torch.ones(3, 1, dtype=torch.bool)
    up, down = torch.ones(3, 1, 2), torch.tensor([1.0, -1.0]).expand(3, 1, 2)
    assert keyword_mask(features, [up, up], everyone, share=1.0).all()
    both = keyword_mask(features, [up, down], everyone, share=1.0)
    assert both[..., 0].all()
    assert not both[..., 1].any()
    two_of_three = keyword_mask(features, [up, down, up], everyone, share=1.0, agreeing=2)
    assert two_of_three[..., 0].all()
    assert not two_of_three[..., 1].any()  # two up and one down: one vote is left
    assert keyword_mask(features, [up, down, up], everyone, share=1.0, agreeing=1).all()


def test_the_absent_and_a_window_alone_have_no_keywords() -> None:
    features = torch.ones(3, 3, 2)
    marked = keyword_mask(features, [torch.ones_like(features)], MASK, share=1.0)
    assert not marked[~MASK].any()
    assert marked[0, :2].all()
    assert marked[1, :2].all()
    assert not marked[0, 2].any()  # it is there in one window only
    one = keyword_mask(features[:1], [torch.ones(1, 3, 2)], MASK[:1], share=1.0)
    assert not one.any()


def test_distinguishing_is_the_cross_entropy() -> None:
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 3, 4, generator=g)
    keywords = torch.rand(3, 3, 4, generator=g) < 0.4
    p = expit(logits.numpy())
    entries = -np.where(keywords, np.log(p), np.log(1 - p)).mean(2)
    expected = (entries[0].mean() + entries[1, :2].mean()) / 2
    assert distinguishing_loss(logits, keywords, MASK).item() == pytest.approx(expected, rel=1e-5)


def test_decoupling_is_the_share_off_the_keywords() -> None:
    g = torch.Generator().manual_seed(0)
    attribution = torch.randn(3, 3, 4, generator=g)
    keywords = torch.rand(3, 3, 4, generator=g) < 0.4
    size = attribution.abs().numpy()
    off = np.where(keywords, 0, size)
    for floor in (0.0, 0.5):
        shares = [off[t, :n].sum() / (size[t, :n].sum() + floor * n * 4) for t, n in ((0, 3), (1, 2))]
        loss = decoupling_loss(attribution, keywords, MASK, floor)
        assert loss.item() == pytest.approx(np.mean(shares), rel=1e-5)
    everything = torch.ones_like(keywords)
    assert decoupling_loss(attribution, everything, MASK).item() == 0
    assert decoupling_loss(attribution, ~everything, MASK).item() == pytest.approx(1)
    assert decoupling_loss(torch.zeros_like(attribution), keywords, MASK).item() == 0


def test_aligning_and_uninformative_are_divergence_and_variance() -> None:
    g = torch.Generator().manual_seed(0)
    scores, teacher = torch.randn(2, 3, 3, generator=g)
    rows = [
        entropy(softmax(teacher[t, :n].numpy()), softmax(scores[t, :n].numpy())) for t, n in ((0, 3), (1, 2))
    ]
    assert aligning_loss(scores, teacher, MASK).item() == pytest.approx(np.mean(rows), rel=1e-5)
    variance = (scores[0].numpy().var() + scores[1, :2].numpy().var()) / 2
    assert uninformative_loss(scores, MASK).item() == pytest.approx(variance, rel=1e-5)
    assert uninformative_loss(torch.full_like(scores, 3.0), MASK).item() == 0


def test_decoupling_has_the_gradient_of_finite_differences_through_the_scan() -> None:
    # Double backward through wavelets, selective scan and mixing: the loss is of a gradient.
    model = student_module().double()
    x = snapshot_tensors(make_snapshots(T=5, N=7), torch.float64)
    state = {
        n: torch.rand_like(h) for n, h in initial_tensors(model.state_shapes(), 7, torch.float64).items()
    }
    keywords = torch.rand(5, 7, 12, generator=torch.Generator().manual_seed(2)) < 0.3

    def loss() -> torch.Tensor:
        g = attributions(x.features, sensitivities(model, x, state, create_graph=True))
        return decoupling_loss(g, keywords, x.mask, 0.01)

    value = loss()
    parameters = dict(model.named_parameters())
    # The last bias moves no slope.
    named = {n: p for n, p in parameters.items() if n not in ("outward.bias",)}
    gradients = dict(zip(named, torch.autograd.grad(value, list(named.values())), strict=True))
    step = 1e-6
    for name in ("ssm.A_log", "ssm.B.weight", "ssm.delta.bias", "mixer.query.weight", "outward.weight"):
        p, place = named[name], tuple(0 for _ in named[name].shape)
        moved = []
        for sign in (1, -1):
            with torch.no_grad():
                p[place] += sign * step
            moved.append(loss().item())
            with torch.no_grad():
                p[place] -= sign * step
        assert gradients[name][place].item() == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-4)
        assert gradients[name].abs().max() > 0
