"""LAMB against steps computed by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from cs3g_model.errors import ConfigError
from cs3g_model.optimizers import Lamb


def stepped(w: list[float], gradients: list[list[float]], **settings: float) -> np.ndarray:
    parameter = torch.nn.Parameter(torch.tensor(w, dtype=torch.float64))
    optimizer = Lamb([parameter], **settings)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    return parameter.detach().numpy()


def test_the_first_step_is_as_computed_by_hand() -> None:
    # After one step m_hat = g and v_hat = g^2, so r = sign(g); |w| = 5, r + 0.5 w = (2.5, 1).
    after = stepped([3.0, 4.0], [[0.1, -20.0]], lr=0.1, weight_decay=0.5, eps=1e-15)
    ratio = 5 / np.hypot(2.5, 1.0)
    np.testing.assert_allclose(after, [3 - 0.1 * ratio * 2.5, 4 - 0.1 * ratio * 1.0], rtol=1e-12)


def test_two_steps_follow_the_equations() -> None:
    gradients = [[0.3, -0.2, 0.1], [-0.1, -0.4, 0.2]]
    w = np.array([0.5, -1.0, 2.0])
    m = v = np.zeros(3)
    for k, g in enumerate(np.array(gradients), start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        r = m / (1 - 0.9**k) / (np.sqrt(v / (1 - 0.999**k)) + 1e-6) + 0.01 * w
        w = w - 0.05 * np.linalg.norm(w) / np.linalg.norm(r) * r
    after = stepped([0.5, -1.0, 2.0], gradients, lr=0.05, weight_decay=0.01)
    np.testing.assert_allclose(after, w, rtol=1e-12)


def test_a_large_tensor_is_limited_and_a_zero_one_leaves_zero() -> None:
    after = stepped([300.0, 400.0], [[1.0, 1.0]], lr=0.1, max_norm=10.0, eps=1e-15)
    np.testing.assert_allclose(after, np.array([300.0, 400.0]) - 0.1 * 10 / np.sqrt(2), rtol=1e-12)
    np.testing.assert_allclose(stepped([0.0, 0.0], [[2.0, -3.0]], lr=0.1, eps=1e-15), [-0.1, 0.1], rtol=1e-9)


def test_frozen_tensors_stay_and_a_saved_state_goes_on() -> None:
    torch.manual_seed(0)
    frozen, free = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.randn(3))
    frozen.requires_grad_(False)
    optimizer = Lamb([frozen, free], lr=0.1, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=6)

    def update(parameter: torch.nn.Parameter, chosen: Lamb) -> None:
        chosen.zero_grad()
        (parameter**2).sum().backward()
        chosen.step()

    update(free, optimizer)
    schedule.step()
    other = torch.nn.Parameter(free.detach().clone())
    resumed = Lamb([frozen, other], lr=0.1)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    update(free, optimizer)
    update(other, resumed)
    torch.testing.assert_close(other, free, rtol=0, atol=0)
    assert (frozen == 1).all()


def test_it_finds_the_minimum_of_a_quadratic() -> None:
    w = torch.nn.Parameter(torch.tensor([2.0, -3.0]))
    optimizer = Lamb([w], lr=0.02)
    for _ in range(400):
        optimizer.zero_grad()
        loss = ((w - torch.tensor([0.5, 1.0])) ** 2).sum()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-2


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"lr": 0.0}, "lr"),
        ({"eps": 0.0}, "eps"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"max_norm": 0.0}, "max_norm"),
    ],
)
def test_bad_settings_are_refused(settings: dict, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Lamb([torch.nn.Parameter(torch.ones(1))], **settings)
