"""Rounding tensors to a few bits, and training through the rounding (Jacob et al. 2018, arXiv 1712.05877).

    code = clamp(round(w / scale) + zero, 0, levels),    value = (code - zero) scale

Zero is a code, so that 0 stays 0 exactly. Scales are bfloat16 numbers: see `packing`.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import torch
from torch import Tensor

from cs3g_model.compression.packing import CODE_BITS, QuantizedArray, symmetric_zero
from cs3g_model.errors import CompressionError

__all__ = ["Scheme", "bfloat16_up", "fake_half", "fake_quantize", "quantize", "straight_through"]

_SHRINK: Final = tuple(1.0 - 0.04 * k for k in range(16))
"""Factors of the range that are tried where a few bits serve a tensor better by clipping its extremes."""

_SMALLEST: Final = 2.0**-100
"""Least scale, of rows that are all 0."""


class Scheme(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How a tensor's numbers become codes.

    Attributes
    ----------
    bits
        2 to 8.
    symmetric
        As many codes below 0 as above; else the range [min(w, 0), max(w, 0)] is divided.
    per_row
        A scale for each index of the first dimension (of a linear layer's weights, each output), else one.
    search
        Choose each scale by the least squared error among clipped ranges, instead of by the range.
    """

    bits: int = 8
    symmetric: bool = True
    per_row: bool = True
    search: bool = True

    def __post_init__(self) -> None:
        if self.bits not in CODE_BITS:
            raise CompressionError(f"`bits` (={self.bits}) must be in [{CODE_BITS[0]}, {CODE_BITS[-1]}]")


def quantize(w: Tensor, scheme: Scheme) -> QuantizedArray:
    """Round a finite float32 tensor of one or more dimensions to codes."""
    rows = _rows(w.detach(), scheme)
    codes, scale, zero = _codes(rows, scheme)
    return QuantizedArray(
        codes.to(torch.uint8).reshape(w.shape).numpy(),
        scale.ravel().numpy(),
        zero.ravel().numpy().astype(np.uint8),
        scheme.bits,
    )


def fake_quantize(w: Tensor, scheme: Scheme) -> Tensor:
    """Return the numbers that `quantize` keeps, of w's shape; the gradient passes as if nothing was rounded.

    It passes where the range is clipped too, so that a weight beyond it can come back.
    """
    return straight_through(w, _rounded(w.detach(), scheme))


def fake_half(w: Tensor) -> Tensor:
    """Return w rounded to float16; the gradient passes as if it was not."""
    return straight_through(w, w.detach().half().float())


def straight_through(x: Tensor, value: Tensor) -> Tensor:
    """Return `value`, exactly, with the gradient of x (Bengio et al. 2013, arXiv 1308.3432)."""
    return value + (x - x.detach())  # x + (value - x) would round once more


def _rounded(w: Tensor, scheme: Scheme) -> Tensor:
    codes, scale, zero = _codes(_rows(w, scheme), scheme)
    return ((codes - zero) * scale).reshape(w.shape)


def _rows(w: Tensor, scheme: Scheme) -> Tensor:
    return w.reshape(w.shape[0] if scheme.per_row else 1, -1)


def _codes(rows: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor, Tensor]:
    """Codes (rows, columns), scales and zeros (rows, 1), as float32."""
    low, high = rows.amin(1, keepdim=True).clamp_max(0.0), rows.amax(1, keepdim=True).clamp_min(0.0)
    if scheme.symmetric:
        high = torch.maximum(high, -low)
        low = -high
    # (K, rows, 1) ranges to choose from, the whole one first.
    shrink = torch.tensor(_SHRINK if scheme.search else _SHRINK[:1], device=rows.device)[:, None, None]
    codes, scale, zero = _coded(rows, low * shrink, high * shrink, scheme)
    error = ((codes - zero) * scale - rows).square().sum(-1)
    best = error.argmin(0)[None, :, None]  # of equals the first
    codes = codes.gather(0, best.expand(1, *rows.shape))[0]
    return codes, scale.gather(0, best)[0], zero.gather(0, best)[0]


def _coded(rows: Tensor, low: Tensor, high: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor, Tensor]:
    levels = 2 * symmetric_zero(scheme.bits) if scheme.symmetric else 2**scheme.bits - 1
    scale = bfloat16_up(((high - low) / levels).clamp_min(_SMALLEST))
    if scheme.symmetric:
        zero = torch.full_like(scale, symmetric_zero(scheme.bits))
    else:  # 0 is nudged onto a code
        zero = (-low / scale).round().clamp(0, levels)
    return ((rows / scale).round() + zero).clamp(0, levels), scale, zero


def bfloat16_up(x: Tensor) -> Tensor:
    """Round positive float32 numbers up to bfloat16, so that a range stays covered."""
    bits = x.contiguous().view(torch.int32)
    return ((bits + 0xFFFF) & -0x10000).view(torch.float32)
