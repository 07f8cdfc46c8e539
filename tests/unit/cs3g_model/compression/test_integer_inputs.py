"""Rounded inputs in the kernel: exact integer arithmetic, and the function that training saw."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cs3g_model.compression.integer_inputs import integer_weights
from cs3g_model.compression.packing import QuantizedArray, values_of
from cs3g_model.compression.quantized import QuantizedStudent
from cs3g_model.compression.quantizers import Scheme, quantize
from cs3g_model.config import StudentConfig
from cs3g_model.errors import ArtifactFormatError
from cs3g_model.inputs import initial_tensors, snapshot_tensors
from cs3g_model.jit import kernel
from cs3g_model.linear_kernel import BLOCK, dense, pack_matrix, rescale, round_rows
from cs3g_model.student_runtime import StudentRuntime
from tests.unit.cs3g_model.factories import SMALL_STUDENT, make_snapshots, student_module, tensors_of

Array = NDArray[np.float32]

EIGHT = {"inward": 8, "delta": 8, "state": 8, "mixer": 8, "hidden": 8, "outward": 8, "rest": 16}
STUDENTS = {
    "default": SMALL_STUDENT,
    "alone": StudentConfig(width=6, graph=False, relations=(), threshold="none"),
    "no wavelet": StudentConfig(width=7, state_size=3, rank=5, wavelet_levels=0),
    "supply": StudentConfig(width=6, state_size=2, rank=3, relations=("supply", "sector", "lead")),
}


def trained(config: StudentConfig, bits: dict[str, int]) -> QuantizedStudent:
    """A student whose inputs' ranges were watched."""
    model = QuantizedStudent(config, tensors_of(student_module(config)), bits, activations=True).train()
    with torch.no_grad():
        for seed in range(3):
            x = snapshot_tensors(make_snapshots(15, 11, seed=seed))
            model(x, initial_tensors(model.state_shapes(), 11))
    return model.eval()


def served(model: QuantizedStudent) -> StudentRuntime:
    stored = model.stored()
    weights = integer_weights(model.config, stored, model.grids())
    return StudentRuntime(model.config, {n: values_of(t) for n, t in stored.items()}, "id", weights)


@kernel
def integer_layer(matrix: Array, zeros: Array, numbers: Array, outputs: int, inputs: int, w: Array) -> None:
    """Compute a layer of a block: rows of x, then its codes, then the outputs."""
    codes_at, out_at = inputs * BLOCK, 2 * inputs * BLOCK
    round_rows(numbers, 0, inputs, w, 0, codes_at)
    dense(matrix, 0, zeros, 0, outputs, inputs, w, codes_at, out_at)
    rescale(numbers, 2 + inputs, 2 + inputs + outputs, outputs, w, out_at)


@pytest.mark.parametrize("shape", [(5, 24), (1, 96), (8, 13)])
def test_a_layer_is_the_int8_layer_bit_for_bit(shape: tuple[int, int]) -> None:
    outputs, inputs = shape
    g = np.random.default_rng(0)
    weight = quantize(torch.tensor(g.standard_normal((outputs, inputs)), dtype=torch.float32), Scheme(bits=8))
    x = (5 * g.standard_normal((inputs, BLOCK))).astype(np.float32)
    bias = g.standard_normal(outputs).astype(np.float32)
    step, zero = np.float32(2.0**-5), 100
    inverse = np.full(inputs, np.float32(1) / step, np.float32)
    scale = weight.scale.ravel() * step
    numbers = np.concatenate([[-zero, 255 - zero], inverse, scale, bias], dtype=np.float32)
    matrix = pack_matrix(weight.integers().astype(np.float32)).ravel()
    tall = len(matrix) // inputs
    rows = np.concatenate([x, np.empty((inputs + tall, BLOCK), np.float32)])
    flat = rows.ravel()
    integer_layer(matrix, np.zeros(tall, np.float32), numbers, outputs, inputs, flat)

    codes = np.clip(np.rint(x * inverse[:, None]).astype(np.int32), -zero, 255 - zero)
    assert codes.min() == -zero
    assert codes.max() == 255 - zero
    np.testing.assert_array_equal(rows[inputs : 2 * inputs], codes)
    sums = weight.integers().astype(np.int32) @ codes
    expected = bias[:, None] + scale[:, None] * sums.astype(np.float32)
    np.testing.assert_array_equal(rows[2 * inputs :][:outputs], expected)


@pytest.mark.parametrize("name", STUDENTS)
@pytest.mark.parametrize("bits", [EIGHT, EIGHT | {"hidden": 16, "state": 32, "inward": 4, "delta": 3}])
def test_the_kernel_computes_what_training_saw(name: str, bits: dict[str, int]) -> None:
    model = trained(STUDENTS[name], bits)
    runtime = served(model)
    s = make_snapshots(40, 23, seed=7)
    with torch.no_grad():
        output, _ = model(snapshot_tensors(s), initial_tensors(model.state_shapes(), 23))
    told = output.scores.numpy()
    scores, _ = runtime.step_many(s, runtime.initial_state(23))
    plain = StudentRuntime(model.config, {n: values_of(t) for n, t in model.stored().items()}, "id")
    whole, _ = plain.step_many(s, plain.initial_state(23))
    error = np.abs(scores - told)
    # To float32's accuracy, but where a value lies on the rim of two codes, which may then fall either way.
    assert np.quantile(error, 0.95) < 2e-5
    assert error.max() < 0.5 * np.abs(whole - told).max()
    assert np.abs(whole - told).mean() > 20 * error.mean()


def test_integers_are_what_the_kernel_multiplies() -> None:
    model = trained(SMALL_STUDENT, EIGHT)
    weights = integer_weights(SMALL_STUDENT, model.stored(), model.grids())
    for matrix in (weights.inward, weights.delta, weights.B, weights.C, weights.query, weights.hidden):
        assert (matrix == np.rint(matrix)).all()
        assert np.abs(matrix).max() == 127
    assert weights.inputs.parts.inverse.shape == (weights.hidden.shape[1],)
    assert weights.inputs.bands.low <= 0 < weights.inputs.bands.high


def test_only_the_named_inputs_are_rounded() -> None:
    model = trained(SMALL_STUDENT, EIGHT)
    grids = {"u": model.grids()["u"]}
    weights = integer_weights(SMALL_STUDENT, model.stored(), grids)
    assert len(weights.inputs.u.inverse)
    assert not len(weights.inputs.parts.inverse)
    values = {name: values_of(t) for name, t in model.stored().items()}
    plain = StudentRuntime(SMALL_STUDENT, values, "id")
    s = make_snapshots()
    same = StudentRuntime(SMALL_STUDENT, values, "id", integer_weights(SMALL_STUDENT, model.stored(), {}))
    expected, _ = plain.step_many(s, plain.initial_state(15))
    scores, _ = same.step_many(s, same.initial_state(15))
    np.testing.assert_array_equal(scores, expected)


@pytest.mark.parametrize(
    "grids", [{"nothing": (1.0, 0)}, {"u": (0.0, 0)}, {"u": (np.nan, 0)}, {"u": (1.0, 256)}, {"u": (1.0, -1)}]
)
def test_impossible_grids_are_refused(grids: dict[str, tuple[float, int]]) -> None:
    stored = trained(SMALL_STUDENT, EIGHT).stored()
    with pytest.raises(ArtifactFormatError, match="cannot have scale"):
        integer_weights(SMALL_STUDENT, stored, grids)


def test_an_input_projection_in_two_is_refused() -> None:
    model = trained(SMALL_STUDENT, EIGHT)
    stored = model.stored() | {"inward.gain": np.full(6, 2, np.float32)}
    assert isinstance(stored["inward.bands.weight"], QuantizedArray)
    with pytest.raises(ArtifactFormatError, match="folded"):
        integer_weights(SMALL_STUDENT, stored, model.grids())
