"""Quantization-aware training: a student that runs on rounded weights and, if asked, rounded inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn

from cs3g_model.compression.layout import ACTIVATIONS, REST, Arrays, canonical, group_of, groups_of
from cs3g_model.compression.observers import Observer
from cs3g_model.compression.packing import CODE_BITS, Stored, packed_bytes
from cs3g_model.compression.quantizers import Scheme, fake_half, fake_quantize, quantize
from cs3g_model.compression.reparametrized import Reparametrized, make_student
from cs3g_model.config import StudentConfig
from cs3g_model.errors import CompressionError
from cs3g_model.inputs import ModelOutput, SnapshotTensors, State
from cs3g_model.student import Student

__all__ = ["REST_BITS", "WEIGHT_BITS", "QuantizedStudent", "choices_of", "store", "stored_bytes"]

_HALF: Final = 16
_WHOLE: Final = 32
REST_BITS: Final = (_HALF, _WHOLE)
WEIGHT_BITS: Final = (*CODE_BITS, *REST_BITS)

Hook = Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]


def choices_of(group: str) -> tuple[int, ...]:
    """Return the numbers of bits that a group may be stored in."""
    return REST_BITS if group == REST else WEIGHT_BITS


def store(tensors: Arrays, bits: Mapping[str, int]) -> dict[str, Stored]:
    """Round a student's tensors, without training.

    Parameters
    ----------
    tensors
        Named float32 tensors.
    bits
        Of each group of `layout.GROUPS`: 2 to 8, a scale for each row; 16 or 32, floats.

    Raises
    ------
    CompressionError
        If a group may not have its bits, or a number is beyond float16.
    """
    _check_bits(groups_of(tensors), bits)
    out: dict[str, Stored] = {}
    for name, array in tensors.items():
        n = bits[group_of(name)]
        if n in CODE_BITS and not _is_constant(array):
            out[name] = quantize(torch.tensor(array), Scheme(bits=n))
        elif n == _HALF:
            with np.errstate(over="ignore"):
                half = array.astype(np.float16)
            if not np.isfinite(half).all():
                raise CompressionError(f"{name!r} holds numbers beyond float16: give its group 32 bits")
            out[name] = half
        else:
            out[name] = array.astype(np.float32)
    return out


def stored_bytes(tensors: Arrays, group: str, bits: int) -> int:
    """Return the bytes that a group of tensors takes."""
    total = 0
    for name in groups_of(tensors)[group]:
        array = tensors[name]
        if not _is_constant(array):
            total += packed_bytes(array.shape, bits, rows=len(array) if bits in CODE_BITS else 0)
    return total


class QuantizedStudent(Reparametrized):
    """A student on rounded weights; fitted, the weights behind them learn to round well.

    Parameters
    ----------
    config, tensors
        The student, whose input projection is folded (`layout.canonical`).
    bits
        As for `store`.
    activations
        Round the inputs of the linear layers to 8 bits.
    delay
        Updates after which these inputs are rounded.

    Raises
    ------
    CompressionError
        If a group may not have its bits.
    """

    def __init__(
        self,
        config: StudentConfig,
        tensors: Arrays,
        bits: Mapping[str, int],
        *,
        activations: bool = False,
        delay: int = 0,
    ) -> None:
        super().__init__(make_student(Student(config), canonical(config, tensors)))
        _check_bits(groups_of(tensors), bits)
        self.bits = dict(bits)
        if config.wavelet_levels:  # folded: 0 and 1
            self.student.inward.whole.weight.requires_grad_(False)
            self.student.inward.gain.requires_grad_(False)
        modules = dict(self.student.named_modules())
        self.inputs = {
            point: [path for path in paths if path in modules] for point, paths in ACTIVATIONS.items()
        }
        watched = [point for point, paths in self.inputs.items() if paths] if activations else []
        self.observers = nn.ModuleDict({point: Observer(delay=delay) for point in watched})

    def effective(self) -> dict[str, Tensor]:
        """Return the rounded tensors, as `stored` keeps them."""
        return {name: self._rounded(name, p) for name, p in self.student.named_parameters()}

    def stored(self) -> dict[str, Stored]:
        """Return the tensors as they are to be saved."""
        with torch.no_grad():
            tensors = {name: p.cpu().numpy() for name, p in self.student.named_parameters()}
        return store(tensors, self.bits)

    def grids(self) -> dict[str, tuple[float, int]]:
        """Return scale and code of 0 of each rounded input."""
        return {point: self._observer(point).grid() for point in self.observers}

    def forward(self, x: SnapshotTensors, state: State) -> tuple[ModelOutput, State]:
        """Score a run from `state`; in training the inputs' ranges are watched."""
        with ExitStack() as hooks:
            for point in self.observers:
                for i, path in enumerate(self.inputs[point]):
                    hook = self._hook(self._observer(point), x.mask, watches=self.training and i == 0)
                    handle = self.student.get_submodule(path).register_forward_pre_hook(hook)
                    hooks.callback(handle.remove)
            return super().forward(x, state)

    def _observer(self, point: str) -> Observer:
        return cast(Observer, self.observers[point])

    @staticmethod
    def _hook(observer: Observer, mask: Tensor, *, watches: bool) -> Hook:
        def hook(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            if watches:
                observer.observe(arguments[0], mask)
            return (observer(arguments[0]), *arguments[1:])

        return hook

    def _rounded(self, name: str, p: Tensor) -> Tensor:
        n = self.bits[group_of(name)]
        if n in CODE_BITS:
            return fake_quantize(p, Scheme(bits=n))
        return fake_half(p) if n == _HALF else p


def _is_constant(array: np.ndarray[Any, Any]) -> bool:
    # As `packing.pack` sees it.
    return array.size > 1 and bool((array == array.flat[0]).all()) and array.flat[0] in (0, 1)


def _check_bits(groups: Iterable[str], bits: Mapping[str, int]) -> None:
    for group in groups:
        if bits.get(group) not in choices_of(group):
            raise CompressionError(
                f"the bits of {group!r} (={bits.get(group)!r}) must be one of {choices_of(group)}"
            )
