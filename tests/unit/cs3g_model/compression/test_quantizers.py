"""Rounding to codes: exact zeros, the promised error, and the gradient of the straight-through estimator."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from cs3g_model.compression.quantizers import Scheme, fake_half, fake_quantize, quantize
from cs3g_model.errors import CompressionError


def weights(rows: int = 6, columns: int = 20, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    w = torch.randn(rows, columns, generator=g) * torch.logspace(-3, 1, rows)[:, None]
    w[:, 3] = 0.0
    return w


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("per_row", [True, False])
@pytest.mark.parametrize("search", [True, False])
def test_codes_stand_for_what_training_sees(bits: int, symmetric: bool, per_row: bool, search: bool) -> None:
    scheme = Scheme(bits=bits, symmetric=symmetric, per_row=per_row, search=search)
    w = weights()
    stored = quantize(w, scheme)
    np.testing.assert_array_equal(stored.values(), fake_quantize(w, scheme).numpy())
    assert stored.codes.max() < 2**bits
    assert len(stored.scale) == (6 if per_row else 1)
    assert not stored.values()[:, 3].any()  # 0 stays 0
    assert stored.symmetric or not symmetric
    if symmetric:
        assert np.abs(stored.integers()).max() <= 2 ** (bits - 1) - 1
    if not search:
        error = np.abs(stored.values() - w.numpy())
        # Half a step, and where 0 was nudged onto a code at the rim half a step more.
        assert (error <= stored.scale[:, None] * (0.5001 if symmetric else 1.0001)).all()


def test_the_scale_is_that_of_the_range() -> None:
    w = torch.tensor([[-1.0, 0.5, 0.25], [0.0, 0.0, 0.0], [0.0, 3.0, 1.5]])
    symmetric = quantize(w, Scheme(bits=8, search=False))
    np.testing.assert_allclose(symmetric.scale[[0, 2]], np.array([1, 3]) / 127, rtol=2**-7)
    assert (symmetric.scale[[0, 2]] >= np.array([1, 3]) / 127).all()
    assert not symmetric.values()[1].any()
    affine = quantize(w, Scheme(bits=8, symmetric=False, search=False))
    np.testing.assert_allclose(affine.scale[[0, 2]], np.array([1.5, 3]) / 255, rtol=2**-7)
    assert affine.zero[2] == 0
    assert affine.zero[0] == round(1.0 / affine.scale[0])


def test_searching_never_loses_and_helps_few_bits() -> None:
    w = weights(8, 200)
    for bits in range(2, 9):
        errors = [
            ((quantize(w, Scheme(bits=bits, search=search)).values() - w.numpy()) ** 2).sum(1)
            for search in (False, True)
        ]
        assert (errors[1] <= errors[0] * (1 + 1e-6)).all()
        if bits <= 3:
            assert errors[1].sum() < 0.8 * errors[0].sum()


def test_more_bits_err_less_and_rows_err_less_than_one_scale() -> None:
    w = weights()
    errors = [np.abs(quantize(w, Scheme(bits=bits)).values() - w.numpy()).mean() for bits in range(2, 9)]
    assert all(a > b for a, b in itertools.pairwise(errors))
    small = np.abs(quantize(w, Scheme(bits=4, per_row=False)).values() - w.numpy())[0].mean()
    assert np.abs(quantize(w, Scheme(bits=4)).values() - w.numpy())[0].mean() < small


def test_the_gradient_passes_straight_through() -> None:
    w = weights().requires_grad_()
    upstream = torch.randn_like(w)
    for function in (lambda v: fake_quantize(v, Scheme(bits=3)), fake_half):
        (gradient,) = torch.autograd.grad((function(w) * upstream).sum(), w)
        torch.testing.assert_close(gradient, upstream, rtol=0, atol=0)
    np.testing.assert_array_equal(fake_half(w).detach().numpy(), w.detach().numpy().astype(np.float16))


def test_vectors_have_one_scale_per_number_or_one() -> None:
    w = torch.tensor([0.5, -2.0, 0.0])
    assert len(quantize(w, Scheme(per_row=False)).scale) == 1
    assert quantize(w, Scheme(per_row=False)).codes.shape == (3,)


@pytest.mark.parametrize("bits", [0, 1, 9, 32])
def test_bits_outside_two_to_eight_are_refused(bits: int) -> None:
    with pytest.raises(CompressionError, match="bits"):
        Scheme(bits=bits)
