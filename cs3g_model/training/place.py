"""Where a fit computes: a device, its arithmetic, and how the history's windows get there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from cs3g_model.errors import TrainingError
from cs3g_model.inputs import ModelOutput, SnapshotTensors, State

__all__ = [
    "CPU",
    "DeviceName",
    "Place",
    "Windows",
    "as_float32",
    "choose_place",
    "deterministic",
    "moved",
    "moved_state",
]

DeviceName = Literal["auto", "cpu", "cuda"]

_CPU_DEVICE = torch.device("cpu")

_SHARE_OF_MEMORY = 0.4
"""Of the free device memory that the whole history may take; the rest is for activations."""


@dataclass(frozen=True, slots=True)
class Place:
    """A device and its arithmetic.

    Attributes
    ----------
    device
        Of parameters, states and windows.
    bf16
        Whether matrix products run in bfloat16 under autocast; weights, states and losses stay float32, and
        validation runs in float32 whatever is said here, as serving does.
    """

    device: torch.device = _CPU_DEVICE
    bf16: bool = False

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of a training forward pass."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()


CPU = Place()


def choose_place(name: DeviceName, local_rank: int = 0) -> Place:
    """Turn a name into a place; "auto" takes a CUDA device if there is one, and bfloat16 with it.

    Parameters
    ----------
    name
        "auto", "cpu" or "cuda".
    local_rank
        Which of the machine's CUDA devices.

    Raises
    ------
    TrainingError
        If "cuda" is asked for and there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise TrainingError(f"`device` (={name!r}) must be auto, cpu or cuda")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return CPU
    if not torch.cuda.is_available():
        raise TrainingError("`device` is cuda, but torch sees no CUDA device: use cpu or auto")
    return Place(torch.device("cuda", local_rank % torch.cuda.device_count()), bf16=True)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Ask CUDA for its deterministic kernels; on a CPU all that is used is deterministic already.

    An operation that has none warns: the same seed may then give other bits.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)


def moved(x: SnapshotTensors, device: torch.device) -> SnapshotTensors:
    """Return snapshots on a device; the same object where they are there already."""
    if x.features.device == device:
        return x
    values: dict[str, Any] = {field.name: getattr(x, field.name) for field in fields(x)}
    changes: dict[str, Any] = {name: v.to(device) for name, v in values.items() if isinstance(v, Tensor)}
    return replace(x, **changes)


def moved_state(state: State, device: torch.device) -> State:
    """Return a state on a device."""
    return {name: h.to(device) for name, h in state.items()}


def as_float32(output: ModelOutput) -> ModelOutput:
    """Return an output whose bfloat16 tensors are float32, for the losses."""
    return replace(output, **{f.name: _widened(getattr(output, f.name)) for f in fields(output)})


def _widened(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.dtype == torch.bfloat16 else value
    if isinstance(value, tuple):
        return tuple(_widened(part) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _widened(getattr(value, f.name)) for f in fields(value)})
    return value


class Windows:
    """A history whose windows are handed out on a device.

    Parameters
    ----------
    x
        The history, in the CPU's memory.
    device
        Where windows are wanted.
    resident
        Whether the whole history is moved at once rather than window by window; None decides by the
        device's free memory.
    """

    def __init__(self, x: SnapshotTensors, device: torch.device, resident: bool | None = None) -> None:
        self.device = device
        if resident is None:
            resident = device.type != "cuda" or _fits(x, device)
        self.x = moved(x, device) if resident else x

    @property
    def n_instruments(self) -> int:
        """N."""
        return self.x.mask.shape[1]

    def window(self, start: int, stop: int) -> SnapshotTensors:
        """Return windows [start, stop) on the device."""
        return moved(self.x.window(start, stop), self.device)


def _fits(x: SnapshotTensors, device: torch.device) -> bool:
    tensors = [v for field in fields(x) if isinstance(v := getattr(x, field.name), Tensor)]
    free, _ = torch.cuda.mem_get_info(device)
    return sum(v.numel() * v.element_size() for v in tensors) < _SHARE_OF_MEMORY * free
