"""Codes as bytes: nothing lost, nothing wasted, nothing malformed read."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from cs3g_model.compression.packing import (
    PackedTensor,
    QuantizedArray,
    pack,
    pack_codes,
    packed_bytes,
    symmetric_zero,
    unpack,
    unpack_codes,
    values_of,
)
from cs3g_model.errors import ArtifactFormatError, CompressionError


def quantized(bits: int, shape: tuple[int, ...] = (5, 7), *, symmetric: bool = True) -> QuantizedArray:
    g = np.random.default_rng(bits)
    zero = np.full(shape[0], symmetric_zero(bits), np.uint8)
    if not symmetric:
        zero = g.integers(0, 2**bits, shape[0]).astype(np.uint8)
    scale = np.array([2.0**-k * 1.25 for k in range(shape[0])], np.float32)
    return QuantizedArray(g.integers(0, 2**bits, shape).astype(np.uint8), scale, zero, bits)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("count", [0, 1, 3, 8, 77])
def test_codes_come_back_and_waste_no_byte(bits: int, count: int) -> None:
    codes = np.random.default_rng(count).integers(0, 2**bits, count).astype(np.uint8)
    data = pack_codes(codes, bits)
    assert len(data) == -(-count * bits // 8)
    np.testing.assert_array_equal(unpack_codes(data, count, bits), codes)


def test_bytes_are_as_written_by_hand() -> None:
    assert pack_codes(np.array([1, 2, 3, 0, 3], np.uint8), 2) == bytes([0b00111001, 0b11])
    assert pack_codes(np.array([0xA, 0x5, 0xF], np.uint8), 4) == bytes([0x5A, 0x0F])


def test_a_mixture_comes_back_exactly() -> None:
    g = np.random.default_rng(0)
    tensors = {
        "f32": g.standard_normal((3, 2)).astype(np.float32),
        "f16": g.standard_normal(5).astype(np.float16),
        "zeros": np.zeros((4, 4), np.float32),
        "ones": np.ones(6, np.float32),
        "one number": np.ones(1, np.float32),
        **{f"q{bits}": quantized(bits) for bits in range(2, 9)},
        "affine": quantized(3, symmetric=False),
        "one scale": QuantizedArray(
            np.arange(6, dtype=np.uint8).reshape(2, 3),
            np.array([0.5], np.float32),
            np.array([2], np.uint8),
            3,
        ),
    }
    data, index = pack(tensors)
    assert len(data) == sum(
        packed_bytes(tuple(e.shape), e.bits, rows=e.rows, symmetric=e.symmetric) for e in index
    )
    index = msgspec.json.decode(msgspec.json.encode(index), type=list[PackedTensor])
    back = unpack(data, index)
    assert set(back) == set(tensors)
    for name, stored in tensors.items():
        np.testing.assert_array_equal(values_of(back[name]), values_of(stored))
        assert type(back[name]) is type(stored)
    assert {e.name for e in index if e.bits == 0} == {"zeros", "ones"}
    assert back["f16"].dtype == np.float16


def test_values_are_exact_products() -> None:
    stored = quantized(8, (6, 4))
    integers = stored.codes.astype(np.float64) - 127
    exact = integers * stored.scale.astype(np.float64)[:, None]
    np.testing.assert_array_equal(stored.values().astype(np.float64), exact)
    np.testing.assert_array_equal(stored.integers(), integers)


def test_a_scale_that_is_no_bfloat16_is_refused() -> None:
    for scale in (0.1, 0.0, -1.0, np.inf):
        bad = QuantizedArray(
            np.zeros((1, 2), np.uint8), np.array([scale], np.float32), np.zeros(1, np.uint8), 4
        )
        with pytest.raises(CompressionError, match="scales of 'w'"):
            pack({"w": bad})


@pytest.mark.parametrize(
    "change",
    [
        {"bits": 9},
        {"bits": 1},
        {"rows": 3},
        {"shape": [5, 8]},
        {"shape": [-5, -7]},
        {"shape": [1 << 20, 1 << 20], "bits": 0, "rows": 0},
        {"symmetric": False},
        {"bits": 32},
    ],
)
def test_an_index_that_does_not_fit_is_refused(change: dict) -> None:
    data, (entry,) = pack({"w": quantized(4)})
    with pytest.raises(ArtifactFormatError, match="index"):
        unpack(data, [msgspec.structs.replace(entry, **change)])
    with pytest.raises(ArtifactFormatError, match="index"):
        unpack(data[:-1], [entry])
