"""Serving with rounded inputs: the kernel's weights as integers, and the scales that follow the sums.

A layer whose weights w = q_w s_w and inputs x = q_x s_x are integers times scales is served as
s_w s_x (q_w q_x). With |q_w| <= 127, |q_x| <= 255 and at most 518 inputs the sum is an exact integer.
Weights that stay floats are multiplied by the integers q_x.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model.compression.layout import ACTIVATIONS, INPUT_LEVELS
from cs3g_model.compression.packing import QuantizedArray, Stored, values_of
from cs3g_model.config import StudentConfig
from cs3g_model.errors import ArtifactFormatError
from cs3g_model.linear_kernel import RoundedInput, unrounded
from cs3g_model.student_runtime import StudentRuntime
from cs3g_model.student_weights import Inputs, Scales, StudentWeights, pack_weights

__all__ = ["integer_weights", "stored_runtime"]

Array = NDArray[np.float32]

_POINTS: Final = {
    "inward": "bands",
    "delta": "u",
    "B": "u",
    "C": "u",
    "query": "y",
    "key": "y",
    "hidden": "parts",
    "outward": "z",
}
"""The kernel's matrices and what enters them."""


def stored_runtime(
    config: StudentConfig,
    stored: Mapping[str, Stored],
    grids: Mapping[str, tuple[float, int]],
    model_id: str,
) -> StudentRuntime:
    """Make the streaming model of a quantized student; parameters and errors as of `integer_weights`."""
    values = {name: values_of(t) for name, t in stored.items()}
    return StudentRuntime(config, values, model_id, integer_weights(config, stored, grids))


def integer_weights(
    config: StudentConfig, stored: Mapping[str, Stored], grids: Mapping[str, tuple[float, int]]
) -> StudentWeights:
    """Arrange a quantized student for the kernel.

    Parameters
    ----------
    config, stored
        The student, its tensors as they are stored.
    grids
        Scale and code of 0 of each rounded input, by its name in `layout.ACTIVATIONS`.

    Raises
    ------
    ArtifactFormatError
        If a tensor does not fit the configuration, or a grid is unknown or impossible.
    """
    for point, (scale, zero) in grids.items():
        if point not in ACTIVATIONS or not (0 < scale < np.inf and 0 <= zero <= INPUT_LEVELS):
            raise ArtifactFormatError(f"the input {point!r} cannot have scale {scale!r} and zero {zero!r}")
    values = {name: values_of(t) for name, t in stored.items()}
    plain = pack_weights(config, values)
    names = _matrices(config, values)
    integers, scales = dict(values), {}
    for field, point in _POINTS.items():
        name = names.get(field)
        if point not in grids or name is None:
            continue
        step = np.full(len(getattr(plain, field)), grids[point][0], np.float32)
        kept = stored[name]
        if isinstance(kept, QuantizedArray):
            integers[name] = kept.integers().astype(np.float32)
            step = step * kept.scale
        scales[field] = step
    # Gains of a row follow the sum, those of a part precede the rounding.
    if "C" in scales:
        scales["C"] = scales["C"] * values["ssm.gain"]
        integers["ssm.gain"] = np.ones_like(values["ssm.gain"])
    gains = np.ones(plain.hidden.shape[1], np.float32)
    if "hidden" in scales and "gains" in values:
        ones = values | {"hidden.weight": np.ones_like(values["hidden.weight"])}
        gains = pack_weights(config, ones).hidden[0]
        integers["gains"] = np.ones_like(values["gains"])
    coded = pack_weights(config, integers)
    inputs = {
        point: _rounded(gains if point == "parts" else np.ones(_rows(plain, point), np.float32), grids, point)
        for point in Inputs._fields
    }
    return plain._replace(
        **{field: getattr(coded, field) for field in scales},
        scales=Scales(**(plain.scales._asdict() | scales)),
        inputs=Inputs(**inputs),
    )


def _matrices(config: StudentConfig, values: Mapping[str, Array]) -> dict[str, str]:
    names = {
        "inward": "inward.bands.weight" if config.wavelet_levels else "inward.whole.weight",
        "delta": "ssm.delta.weight",
        "B": "ssm.B.weight",
        "C": "ssm.C.weight",
        "hidden": "hidden.weight",
        "outward": "outward.weight",
    }
    if config.graph:
        names |= {"query": "mixer.query.weight", "key": "mixer.key.weight"}
    if config.wavelet_levels and (values["inward.whole.weight"].any() or (values["inward.gain"] != 1).any()):
        raise ArtifactFormatError("a student with rounded inputs must have its input projection folded")
    return names


def _rows(weights: StudentWeights, point: str) -> int:
    field = next(field for field, other in _POINTS.items() if other == point)
    return int(getattr(weights, field).shape[1])


def _rounded(gains: Array, grids: Mapping[str, tuple[float, int]], point: str) -> RoundedInput:
    if point not in grids:
        return unrounded()
    scale, zero = grids[point]
    inverse = gains * (np.float32(1) / np.float32(scale))
    return RoundedInput(inverse, np.float32(-zero), np.float32(INPUT_LEVELS - zero))
