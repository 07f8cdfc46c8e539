"""Quantization-aware training: what is trained is what is saved is what is served."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from cs3g_model.compression.layout import canonical
from cs3g_model.compression.observers import Observer
from cs3g_model.compression.packing import QuantizedArray, pack, values_of
from cs3g_model.compression.quantized import QuantizedStudent, choices_of, store, stored_bytes
from cs3g_model.config import StudentConfig, TrainConfig
from cs3g_model.errors import CompressionError
from cs3g_model.inputs import initial_tensors, snapshot_tensors
from cs3g_model.metrics import agreement
from cs3g_model.student_runtime import StudentRuntime
from cs3g_model.training.label_losses import LabelObjective
from cs3g_model.training.loop import fit, train
from tests.unit.cs3g_model.factories import (
    SMALL_STUDENT,
    make_snapshots,
    planted_market,
    student_module,
    tensors_of,
)

MIXED = {"inward": 4, "delta": 8, "state": 6, "mixer": 3, "hidden": 5, "outward": 8, "rest": 16}
WHOLE = dict.fromkeys(MIXED, 32)


def run(model: torch.nn.Module, T: int = 20, N: int = 15) -> np.ndarray:
    with torch.no_grad():
        output, _ = model(snapshot_tensors(make_snapshots(T, N)), initial_tensors(model.state_shapes(), N))
    return output.scores.numpy()


@pytest.mark.parametrize("bits", [MIXED, WHOLE, dict.fromkeys(MIXED, 16), MIXED | {"rest": 32}])
def test_trained_saved_and_served_weights_are_the_same(bits: dict[str, int]) -> None:
    tensors = tensors_of(student_module())
    model = QuantizedStudent(SMALL_STUDENT, tensors, bits).eval()
    stored = model.stored()
    effective = model.export()
    assert set(stored) == set(tensors)
    for name, kept in stored.items():
        np.testing.assert_array_equal(values_of(kept), effective[name])
    served = StudentRuntime(SMALL_STUDENT, effective, "id")
    s = make_snapshots(20, 15)
    scores, _ = served.step_many(s, served.initial_state(15))
    np.testing.assert_allclose(run(model), scores, atol=1e-5)
    # Idle codes and constants apart, the bytes are those that the allocator counts.
    data, _ = pack(stored)
    folded = canonical(SMALL_STUDENT, tensors)
    assert len(data) == sum(stored_bytes(folded, group, n) for group, n in bits.items())


def test_whole_bits_change_nothing_and_few_bits_much() -> None:
    module = student_module()
    plain = run(module)
    np.testing.assert_allclose(
        run(QuantizedStudent(SMALL_STUDENT, tensors_of(module), WHOLE)), plain, atol=1e-5
    )
    errors = []
    for n in (2, 4, 8):
        bits = {group: n if group != "rest" else 32 for group in WHOLE}
        errors.append(np.abs(run(QuantizedStudent(SMALL_STUDENT, tensors_of(module), bits)) - plain).mean())
    assert errors[0] > 3 * errors[1] > 9 * errors[2] > 0


def test_fitting_makes_few_bits_agree_with_the_student() -> None:
    market = planted_market()
    settings = TrainConfig(epochs=8, learning_rate=1e-2, chunk=10, average=0.8, checks=1)
    config = StudentConfig(width=8, state_size=2, rank=2)
    tensors = train(config, market, settings).tensors
    bits = {group: 2 if group != "rest" else 16 for group in WHOLE}
    part = slice(market.train_stop, None)
    module = StudentRuntime(config, tensors, "id")
    told, _ = module.step_many(market.snapshots, module.initial_state(40))

    def agreed(model: QuantizedStudent) -> float:
        runtime = StudentRuntime(config, {n: values_of(t) for n, t in model.stored().items()}, "id")
        scores, _ = runtime.step_many(market.snapshots, runtime.initial_state(40))
        return float(np.mean(agreement(scores[part], told[part], market.snapshots.mask[part])))

    model = QuantizedStudent(config, tensors, bits)
    before = agreed(model)
    objective = LabelObjective(told[: market.train_stop], market.scored(0, market.train_stop), settings)
    result = fit(model, market, settings, objective)  # type: ignore[arg-type]
    model.load_state_dict({name: torch.tensor(array) for name, array in result.tensors.items()})
    after = agreed(model)
    assert (1 - after) < 0.5 * (1 - before), (before, after)


def test_inputs_are_watched_in_training_and_rounded_after_the_delay() -> None:
    tensors = tensors_of(student_module())
    model = QuantizedStudent(SMALL_STUDENT, tensors, WHOLE, activations=True, delay=2)
    with pytest.raises(CompressionError, match="never observed"):
        model.grids()
    plain = run(QuantizedStudent(SMALL_STUDENT, tensors, WHOLE).eval())
    np.testing.assert_array_equal(run(model.eval()), plain)
    twin = copy.deepcopy(model)
    for update in range(4):
        scores = run(model.train())
        assert (scores == plain).all() == (update < 2)
    rounded = run(model.eval())
    assert 0 < np.abs(rounded - plain).mean() < 0.1 * np.abs(plain).mean()
    assert set(model.grids()) == {"bands", "u", "y", "parts", "z"}
    # The running average of a fit copies the buffers, and then rounds alike.
    for mine, other in zip(twin.buffers(), model.buffers(), strict=True):
        mine.copy_(other)
    np.testing.assert_array_equal(run(twin.eval()), rounded)
    assert not [m for m in model.student.modules() if m._forward_pre_hooks]


def test_the_range_is_a_running_mean_that_holds_zero() -> None:
    observer = Observer(decay=0.9)
    mask = torch.tensor([[True, True, False]])
    ranges = [(-1.0, 2.0), (-3.0, 4.0), (0.5, 6.0)]
    for low, high in ranges:
        observer.observe(torch.tensor([[[low], [high], [99.0]]]), mask)
    assert float(observer.low) == pytest.approx((-1 - 3 + 0) / 3)
    assert float(observer.high) == pytest.approx((2 + 4 + 6) / 3)
    for _ in range(7):
        observer.observe(torch.tensor([[[-1.0], [4.0], [99.0]]]), mask)
    before = float(observer.high)
    observer.observe(torch.tensor([[[0.0], [14.0], [99.0]]]), mask)
    assert float(observer.high) == pytest.approx(0.9 * before + 0.1 * 14)
    scale, zero = observer.grid()
    assert 0 <= zero <= 255
    assert scale * 255 >= float(observer.high - observer.low)
    x = torch.tensor([-99.0, -0.3, 0.0, 0.2, 99.0], requires_grad=True)
    y = observer(x)
    assert float(y[2].detach()) == 0.0
    np.testing.assert_allclose(y.detach()[1:4], x.detach()[1:4], atol=scale / 2 + 1e-7)
    np.testing.assert_allclose(y.detach()[[0, 4]], [-zero * scale, (255 - zero) * scale], rtol=1e-6)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_nothing_seen_changes_nothing() -> None:
    observer = Observer()
    observer.observe(torch.ones(2, 3, 4), torch.zeros(2, 3, dtype=torch.bool))
    x = torch.randn(5)
    assert (observer(x) == x).all()


@pytest.mark.parametrize(
    ("change", "match"), [({"rest": 8}, "rest"), ({"hidden": 1}, "hidden"), ({"hidden": 12}, "hidden")]
)
def test_bits_that_a_group_may_not_have_are_refused(change: dict[str, int], match: str) -> None:
    tensors = tensors_of(student_module())
    with pytest.raises(CompressionError, match=match):
        QuantizedStudent(SMALL_STUDENT, tensors, MIXED | change)
    with pytest.raises(CompressionError, match=match):
        store(tensors, MIXED | change)
    assert 8 not in choices_of("rest")


def test_a_number_beyond_float16_is_refused() -> None:
    tensors = tensors_of(student_module())
    tensors["outward.bias"][0] = 1e6
    with pytest.raises(CompressionError, match=r"outward\.bias"):
        store(tensors, MIXED)
    stored = store(tensors, WHOLE | {"hidden": 4})
    assert isinstance(stored["hidden.weight"], QuantizedArray)
