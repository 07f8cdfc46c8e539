"""What each of the student's tensors is, as tables: the axes it shares, the group it is quantized in.

Every algorithm of this package reads these tables and no tensor's name, so that a new tensor of the
student takes a line here and nothing else.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from cs3g_model.config import StudentConfig
from cs3g_model.errors import CompressionError

__all__ = [
    "ACTIVATIONS",
    "GROUPS",
    "INPUT_LEVELS",
    "REST",
    "Axis",
    "axes_of",
    "canonical",
    "filters",
    "group_of",
    "groups_of",
    "is_prunable",
]

Arrays = dict[str, NDArray[np.float32]]

Axis = Literal["channel", "unit", "state", "rank"]
"""What can be removed: an SSM channel, a unit of the hidden layer, a state of every channel, a graph factor.

Channels and units are both `StudentConfig.width` many, but different things.
"""

_AXES: Final[tuple[tuple[str, tuple[Axis | None, ...]], ...]] = (
    ("wavelets.threshold", (None, None)),
    ("inward.*.weight", ("channel", None)),
    ("inward.*.bias", ("channel",)),
    ("inward.gain", ("channel",)),
    ("ssm.delta.weight", ("channel", "channel")),
    ("ssm.delta.bias", ("channel",)),
    ("ssm.A_log", ("channel", None)),
    ("ssm.D", ("channel",)),
    ("ssm.[BC].weight", ("state", "channel")),
    ("ssm.gain", ("state",)),
    ("mixer.*.weight", ("rank", "channel")),
    ("relations.*", (None,)),
    ("gains", (None,)),
    ("hidden.weight", ("unit", "channel")),  # the channels once for every part
    ("hidden.bias", ("unit",)),
    ("outward.weight", (None, "unit")),
    ("outward.bias", (None,)),
)

REST: Final = "rest"
"""The group of all that stays in floating point: rates, biases, gains, thresholds."""

GROUPS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("inward", ("inward.*.weight",)),
    ("delta", ("ssm.delta.weight",)),
    ("state", ("ssm.[BC].weight",)),
    ("mixer", ("mixer.*.weight",)),
    ("hidden", ("hidden.weight",)),
    ("outward", ("outward.weight",)),
    (REST, ("*",)),
)
"""Groups of tensors that share a number of bits, and the patterns of their names; the first that fits."""

ACTIVATIONS: Final[dict[str, tuple[str, ...]]] = {
    "bands": ("inward",),
    "u": ("ssm.delta", "ssm.B", "ssm.C"),
    "y": ("mixer.query", "mixer.key"),
    "parts": ("hidden",),
    "z": ("outward",),
}
"""What enters the linear layers, and the modules that it enters."""

INPUT_LEVELS: Final = 255
"""Codes of a rounded input are 0 to this."""


def axes_of(name: str) -> tuple[Axis | None, ...]:
    """Return the axis of each dimension of a named tensor, None where nothing can be removed.

    Raises
    ------
    CompressionError
        If the tensor is not in the table.
    """
    for pattern, axes in _AXES:
        if fnmatchcase(name, pattern):
            return axes
    raise CompressionError(f"the student's tensor {name!r} is unknown to cs3g_model.compression.layout")


def group_of(name: str) -> str:
    """Return the group in which a named tensor is quantized."""
    return next(group for group, patterns in GROUPS if any(fnmatchcase(name, p) for p in patterns))


def groups_of(tensors: Arrays) -> dict[str, list[str]]:
    """Return the names of the tensors of each group that has any, in the table's order."""
    found: dict[str, list[str]] = {group: [] for group, _ in GROUPS}
    for name in sorted(tensors):
        found[group_of(name)].append(name)
    return {group: names for group, names in found.items() if names}


def is_prunable(name: str) -> bool:
    """Whether single weights of a tensor may be removed: those of the linear layers."""
    return group_of(name) != REST


def canonical(config: StudentConfig, tensors: Arrays) -> Arrays:
    """Fold the two matrices of the input into one; the student computes the same function.

    W (sum of the bands) + g V bands = (W, ..., W) bands + g V bands: with the matrix in V's place W is 0 and
    g is 1, two tensors fewer to store and one rounding fewer when quantized.
    """
    out = {name: array.astype(np.float32) for name, array in tensors.items()}
    if config.wavelet_levels:
        whole, gain = out["inward.whole.weight"], out["inward.gain"]
        out["inward.bands.weight"] = (
            np.tile(whole, config.wavelet_levels + 1) + gain[:, None] * out["inward.bands.weight"]
        )
        out["inward.whole.weight"] = np.zeros_like(whole)
        out["inward.gain"] = np.ones_like(gain)
    return out


def filters(config: StudentConfig, tensors: Arrays) -> dict[Axis, NDArray[np.float64]]:
    """Return the importance of every part of each axis: the L1 norm of the weights that make it.

    Li et al. 2017 (arXiv 1608.08710) rank a filter by the sum of its absolute weights. A channel is made by
    its rows of the folded input projection, a unit by its row of `hidden` with the parts' gains, a graph factor
    by its rows of query and key. A state is made by a row of B and read by a row of C, and scaling one up and the
    other down changes nothing, so the product of their norms counts.
    """
    wide = {name: array.astype(np.float64) for name, array in canonical(config, tensors).items()}
    D = config.width
    inward = wide["inward.bands.weight" if config.wavelet_levels else "inward.whole.weight"]
    hidden = wide["hidden.weight"].reshape(D, -1, D)
    parts = np.concatenate([np.ones(1), wide["gains"]]) if "gains" in wide else np.ones(1)
    written = np.abs(wide["ssm.B.weight"]).sum(1)
    read = np.abs(wide["ssm.gain"]) * np.abs(wide["ssm.C.weight"]).sum(1)
    out: dict[Axis, NDArray[np.float64]] = {
        "channel": np.abs(inward).sum(1) + np.abs(wide["inward.whole.bias"]),
        "unit": np.abs(hidden * parts[:, None]).sum((1, 2)) + np.abs(wide["hidden.bias"]),
        "state": written * read,
    }
    if config.graph:
        out["rank"] = sum(np.abs(wide[f"mixer.{name}.weight"]).sum(1) for name in ("query", "key"))
    return out
