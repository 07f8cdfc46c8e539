"""The causal filter bank."""

from __future__ import annotations

import math

import pytest
import torch

from cs3g_model.inputs import initial_tensors
from cs3g_model.wavelets import CausalHaarBank, soft_threshold


def run(bank: CausalHaarBank, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    mask = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
    return bank(x, mask, initial_tensors(bank.state_shapes(), x.shape[1], x.dtype))[0]


def test_bands_sum_to_the_input() -> None:
    x = torch.randn(20, 3, 2, dtype=torch.float64)
    bands = run(CausalHaarBank(2, 3, "none"), x).view(20, 3, 4, 2)
    torch.testing.assert_close(bands.sum(2), x)


def test_bands_by_hand() -> None:
    x = torch.tensor([1.0, 3.0, 5.0, 9.0]).view(4, 1, 1)
    bands = run(CausalHaarBank(1, 2, "none"), x)[:, 0]
    # s1 = 0.5, 2, 4, 7; s2 = 0.25, 1, 2.25, 4.5
    expected = torch.tensor([[0.5, 0.25, 0.25], [1.0, 1.0, 1.0], [1.0, 1.75, 2.25], [2.0, 2.5, 4.5]])
    torch.testing.assert_close(bands, expected)


@pytest.mark.parametrize("threshold", ["none", "learned", "universal"])
def test_an_absence_is_skipped_not_filled(threshold: str) -> None:
    bank = CausalHaarBank(2, 2, threshold)
    x = torch.randn(12, 1, 2)
    here = torch.tensor([1, 0, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1], dtype=torch.bool)
    gaps = run(bank, x, here[:, None])
    packed = run(bank, x[here])
    torch.testing.assert_close(gaps[here], packed, atol=0, rtol=0)


def test_soft_threshold_shrinks_and_cuts() -> None:
    d = torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0])
    torch.testing.assert_close(soft_threshold(d, torch.tensor(1.0)), torch.tensor([-1.0, 0, 0, 0, 1.0]))


def test_universal_threshold_removes_most_noise_and_keeps_jumps() -> None:
    torch.manual_seed(0)
    x = torch.randn(400, 1, 1)
    x[300] += 12
    bands = run(CausalHaarBank(1, 2, "universal"), x)
    detail = bands[100:, 0, 0]
    assert (detail == 0).float().mean() > 0.6
    assert detail[200] > 3
    assert math.isfinite(bands.sum())
