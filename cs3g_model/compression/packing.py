"""Quantized tensors as bytes: codes of 2 to 8 bits without gaps, and their scales, in one run of bytes.

value = (code - zero) scale. A scale is a bfloat16, of 8 significant bits, and |code - zero| < 2^8: so every
value is an exact float32, and what is trained, saved and served is the same number. The bytes carry no
names or shapes; those are in the manifest, since the header of a safetensors file that named every tensor
would outweigh a small student.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from cs3g_model.errors import ArtifactFormatError, CompressionError

__all__ = [
    "PackedTensor",
    "Quantization",
    "QuantizedArray",
    "Stored",
    "SweepRow",
    "pack",
    "pack_codes",
    "packed_bytes",
    "symmetric_zero",
    "unpack",
    "unpack_codes",
    "values_of",
]

CODE_BITS: Final = range(2, 9)
_CONSTANT_BITS: Final = 0
_HALF_BITS: Final = 16
_WHOLE_BITS: Final = 32
_MAX_VALUES: Final = 1 << 28


def symmetric_zero(bits: int) -> int:
    """Return the code of 0 where the codes reach as far above 0 as below; 127 of 0..254 for 8 bits."""
    return (1 << (bits - 1)) - 1


@dataclass(frozen=True, slots=True)
class QuantizedArray:
    """A tensor as integers.

    Attributes
    ----------
    codes
        uint8 of the tensor's shape, each below 2^bits.
    scale
        (rows,) float32 numbers of bfloat16, above 0: one for each index of the first dimension, or one.
    zero
        (rows,) uint8, the code of 0.
    bits
        2 to 8.
    """

    codes: NDArray[np.uint8]
    scale: NDArray[np.float32]
    zero: NDArray[np.uint8]
    bits: int

    @property
    def symmetric(self) -> bool:
        """Whether every row's code of 0 is `symmetric_zero`, which need not be stored."""
        return bool((self.zero == symmetric_zero(self.bits)).all())

    def integers(self) -> NDArray[np.int16]:
        """Return code - zero, of the tensor's shape."""
        zero = self.zero.astype(np.int16).reshape(-1, *[1] * (self.codes.ndim - 1))
        return np.asarray(self.codes.astype(np.int16) - zero, np.int16)

    def values(self) -> NDArray[np.float32]:
        """Return the numbers that the codes stand for, exact."""
        scale = self.scale.reshape(-1, *[1] * (self.codes.ndim - 1))
        return np.asarray(self.integers().astype(np.float32) * scale, np.float32)


Stored = QuantizedArray | NDArray[np.float16] | NDArray[np.float32]
"""A tensor as it is stored."""


class PackedTensor(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Where one tensor is found: the tensors follow each other in the order of their list.

    Attributes
    ----------
    name, shape
        Of the tensor.
    bits
        Of a code; 16 and 32 are floats; 0 is a tensor all of whose numbers are `fill`, which takes no bytes.
    rows
        Number of scales.
    symmetric
        Whether the codes of 0 are left out.
    fill
        0 or 1.
    """

    name: str
    shape: list[int]
    bits: int
    rows: int = 0
    symmetric: bool = True
    fill: int = 0


class SweepRow(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What storing one group in fewer bits costs while the others stay in float32.

    Attributes
    ----------
    group, bits
        What was changed.
    bytes
        That the group takes.
    agreement
        Mean rank agreement with the float32 student on the validation windows.
    rank_ic
        Mean rank IC there.
    """

    group: str
    bits: int
    bytes: int
    agreement: float
    rank_ic: float


class Quantization(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How an artifact's weights are stored.

    Attributes
    ----------
    groups
        Bits of each group of tensors.
    tensors
        What the packed bytes hold.
    activations
        Scale and code of 0 of the 8-bit inputs of linear layers, by their names in `layout.ACTIVATIONS`.
    sweep
        The sensitivity sweep that the bits were chosen by.
    """

    groups: dict[str, int]
    tensors: list[PackedTensor] = []
    activations: dict[str, tuple[float, int]] = {}
    sweep: list[SweepRow] = []


def pack_codes(codes: NDArray[np.uint8], bits: int) -> bytes:
    """Write codes below 2^bits one after the other, low bits first, padded to a whole byte."""
    columns = np.unpackbits(codes.reshape(-1, 1), axis=1, bitorder="little")[:, :bits]
    return np.packbits(columns.ravel(), bitorder="little").tobytes()


def unpack_codes(data: bytes, count: int, bits: int) -> NDArray[np.uint8]:
    """Read what `pack_codes` wrote; (count,) uint8."""
    columns = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits, bitorder="little")
    return np.packbits(columns.reshape(count, bits), axis=1, bitorder="little").ravel()


def packed_bytes(shape: tuple[int, ...], bits: int, *, rows: int = 0, symmetric: bool = True) -> int:
    """Return how many bytes a tensor takes, its scales included."""
    payload = -(-math.prod(shape) * bits // 8)
    if bits not in CODE_BITS:
        return payload
    return payload + 2 * rows + (0 if symmetric else rows)


def values_of(stored: Stored) -> NDArray[np.float32]:
    """Return a stored tensor's numbers as float32."""
    return stored.values() if isinstance(stored, QuantizedArray) else stored.astype(np.float32)


def pack(tensors: Mapping[str, Stored]) -> tuple[bytes, list[PackedTensor]]:
    """Write tensors one after the other, and say where they are.

    Tensors of several numbers that are all 0 or all 1 take no bytes.

    Raises
    ------
    CompressionError
        If a scale is not a positive bfloat16.
    """
    chunks, index = [], []
    for name, stored in sorted(tensors.items()):
        array = stored.codes if isinstance(stored, QuantizedArray) else stored
        shape = list(array.shape)
        fill = None if isinstance(stored, QuantizedArray) else _constant(stored)
        if isinstance(stored, QuantizedArray):
            scale = np.ascontiguousarray(stored.scale, np.float32).view(np.uint32)
            if (scale & 0xFFFF).any() or not (np.isfinite(stored.scale) & (stored.scale > 0)).all():
                raise CompressionError(f"the scales of {name!r} must be bfloat16 numbers above 0")
            chunks += [pack_codes(stored.codes, stored.bits), (scale >> 16).astype("<u2").tobytes()]
            if not stored.symmetric:
                chunks.append(stored.zero.tobytes())
            entry = PackedTensor(
                name=name, shape=shape, bits=stored.bits, rows=len(scale), symmetric=stored.symmetric
            )
        elif fill is not None:
            entry = PackedTensor(name=name, shape=shape, bits=_CONSTANT_BITS, fill=fill)
        else:
            half = array.dtype == np.float16
            chunks.append(array.astype("<f2" if half else "<f4").tobytes())
            entry = PackedTensor(name=name, shape=shape, bits=_HALF_BITS if half else _WHOLE_BITS)
        index.append(entry)
    return b"".join(chunks), index


def unpack(data: bytes, index: list[PackedTensor]) -> dict[str, Stored]:
    """Read what `pack` wrote.

    Raises
    ------
    ArtifactFormatError
        If the bytes are not those that the index describes.
    """
    expected = sum(_checked_bytes(entry) for entry in index)
    if expected != len(data):
        raise ArtifactFormatError(f"the weights have {len(data)} bytes, their index describes {expected}")
    out: dict[str, Stored] = {}
    offset = 0
    for entry in index:
        stop = offset + _checked_bytes(entry)
        out[entry.name] = _read(data[offset:stop], entry)
        offset = stop
    return out


def _constant(array: NDArray[np.float16] | NDArray[np.float32]) -> int | None:
    # A single number is a parameter, not the trace of a folded tensor.
    if array.size < 2 or (array != array.flat[0]).any() or array.flat[0] not in (0, 1):
        return None
    return int(array.flat[0])


def _checked_bytes(entry: PackedTensor) -> int:
    floats = entry.bits in (_CONSTANT_BITS, _HALF_BITS, _WHOLE_BITS)
    rows_fit = entry.rows == 0 if floats else entry.rows in (1, *entry.shape[:1])
    if not (
        (floats or entry.bits in CODE_BITS)
        and rows_fit
        and entry.fill in (0, 1)
        and all(size >= 0 for size in entry.shape)
        and math.prod(entry.shape) <= _MAX_VALUES
    ):
        raise ArtifactFormatError(f"the index of the weights holds an impossible entry: {entry}")
    return packed_bytes(tuple(entry.shape), entry.bits, rows=entry.rows, symmetric=entry.symmetric)


def _read(data: bytes, entry: PackedTensor) -> Stored:
    count = math.prod(entry.shape)
    if entry.bits == _CONSTANT_BITS:
        return np.full(entry.shape, entry.fill, np.float32)
    if entry.bits in (_HALF_BITS, _WHOLE_BITS):
        if entry.bits == _HALF_BITS:
            return np.frombuffer(data, "<f2").reshape(entry.shape).astype(np.float16)
        return np.frombuffer(data, "<f4").reshape(entry.shape).astype(np.float32)
    stop = -(-count * entry.bits // 8)
    codes = unpack_codes(data[:stop], count, entry.bits).reshape(entry.shape)
    scale = np.frombuffer(data, "<u2", entry.rows, stop).astype(np.uint32) << 16
    zero = np.full(entry.rows, symmetric_zero(entry.bits), np.uint8)
    if not entry.symmetric:
        zero = np.frombuffer(data, np.uint8, entry.rows, stop + 2 * entry.rows).copy()
    return QuantizedArray(codes, scale.view(np.float32), zero, entry.bits)
