"""The selective scan and its discretization."""

from __future__ import annotations

import pytest
import torch

from cs3g_model.ssm import SelectiveSSM, discretize_zoh, selective_scan, selective_scan_ref


def inputs(dtype: torch.dtype, T: int = 9, N: int = 5, D: int = 4, S: int = 3) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g, dtype=dtype)

    return [
        normal(T, N, D),
        normal(T, N, D).abs(),
        -normal(D, S).abs() - 0.1,
        normal(T, N, S),
        normal(T, N, S),
        normal(D),
        normal(N, D, S),
    ]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_scan_equals_the_reference(dtype: torch.dtype, tolerance: float) -> None:
    y, h = selective_scan(*inputs(dtype))
    expected, h_expected = selective_scan_ref(*inputs(dtype))
    torch.testing.assert_close(y, expected, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(h, h_expected, atol=tolerance, rtol=tolerance)


def test_zero_order_hold_is_the_solution_of_the_continuous_system() -> None:
    # h' = A h + u with u held for delta, integrated in many small Euler steps.
    A = torch.tensor([[-0.7]], dtype=torch.float64)
    delta = torch.tensor([0.9], dtype=torch.float64)
    a, b = discretize_zoh(delta, A)
    h, steps = 2.0, 200_000
    for _ in range(steps):
        h += (A.item() * h + 1.5) * delta.item() / steps
    assert (a * 2.0 + b * 1.5).item() == pytest.approx(h, abs=1e-5)


def test_delta_zero_leaves_the_state_bit_for_bit() -> None:
    u, delta, A, B, C, D, h = inputs(torch.float32)
    _, after = selective_scan(u, torch.zeros_like(delta), A, B, C, D, h)
    assert torch.equal(after, h)


def test_tied_rates_are_multiples_of_the_first() -> None:
    ssm = SelectiveSSM(3, 4, tied=True)
    assert ssm.A_log.shape == (3, 1)
    A = -torch.exp(ssm.A_log) * ssm.rates
    torch.testing.assert_close(A, A[:, :1] * torch.arange(1.0, 5.0))


def test_a_long_run_stays_bounded() -> None:
    torch.manual_seed(0)
    ssm = SelectiveSSM(4, 3)
    with torch.no_grad():
        _, h = ssm(torch.ones(3000, 2, 4), torch.ones(3000, 2, dtype=torch.bool), torch.zeros(2, 4, 3))
    assert h.abs().max() < 100
