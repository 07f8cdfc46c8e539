"""Where a fit computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cs3g_model.errors import TrainingError
from cs3g_model.inputs import Graph, ModelOutput, snapshot_tensors
from cs3g_model.training.options import RunOptions
from cs3g_model.training.place import CPU, Place, Windows, as_float32, choose_place, deterministic, moved
from tests.unit.cs3g_model.factories import make_snapshots
from tests.unit.cs3g_model.training.fits import STUDENT, TEACHER, assert_same_fit, small_fit

needs_no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")


@needs_no_cuda
def test_without_a_cuda_device_everything_runs_on_the_cpu() -> None:
    assert choose_place("auto") == choose_place("cpu") == CPU
    assert not CPU.bf16
    with pytest.raises(TrainingError, match="cuda"):
        choose_place("cuda")


@needs_cuda
def test_a_fit_on_cuda_is_near_that_on_the_cpu_and_repeats_itself() -> None:
    place = choose_place("auto")
    assert place.device.type == "cuda"
    assert place.bf16
    first = small_fit(RunOptions(place=place))
    assert_same_fit(small_fit(RunOptions(place=place)), first)
    np.testing.assert_allclose(first.losses, small_fit().losses, rtol=0.1)


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(TrainingError, match="`device`"):
        choose_place("tpu")  # type: ignore[arg-type]


@pytest.mark.parametrize("config", [TEACHER, STUDENT])
def test_naming_the_cpu_changes_no_bit(config: object) -> None:
    named = RunOptions(place=Place(torch.device("cpu")))
    assert_same_fit(small_fit(named, config=config), small_fit(config=config))


@pytest.mark.parametrize("config", [TEACHER, STUDENT])
def test_bf16_fits_nearly_as_well_and_repeats_itself(config: object) -> None:
    # Autocast exists on the CPU as well: the arithmetic of the CUDA path, slowly.
    half = RunOptions(place=Place(torch.device("cpu"), bf16=True))
    fitted, exact = small_fit(half, config=config), small_fit(config=config)
    assert_same_fit(small_fit(half, config=config), fitted)
    assert all(tensor.dtype == np.float32 for tensor in fitted.tensors.values())
    assert fitted.losses != exact.losses
    np.testing.assert_allclose(fitted.losses, exact.losses, rtol=0.05)


def test_windows_moved_one_by_one_equal_those_of_a_resident_history() -> None:
    x = snapshot_tensors(make_snapshots(T=9))
    # "meta" stands for a device with memory of its own: it keeps shapes and no values.
    device = torch.device("meta")
    resident, moving = Windows(x, device, resident=True), Windows(x, device, resident=False)
    assert resident.x.features.device.type == "meta"
    assert moving.x.features.device.type == "cpu"
    for name in ("features", "mask", "sector", "neighbors", "neighbor_weights"):
        a, b = (getattr(windows.window(2, 5), name) for windows in (resident, moving))
        assert a.device.type == b.device.type == "meta"
        assert a.shape == b.shape
    assert moving.window(2, 5).relations == x.relations
    assert moving.n_instruments == x.mask.shape[1]


def test_nothing_is_copied_on_the_cpu() -> None:
    x = snapshot_tensors(make_snapshots(T=9))
    assert moved(x, torch.device("cpu")) is x
    assert Windows(x, torch.device("cpu")).window(1, 3).features.data_ptr() == x.features[1:].data_ptr()


def test_losses_see_float32_everywhere() -> None:
    half = torch.ones(1, 2, dtype=torch.bfloat16)
    graph = Graph(torch.zeros(2, 1, dtype=torch.int64), half, half)
    out = as_float32(ModelOutput(half, half, None, graph, (half, half)))
    assert out.graph is not None
    assert out.graph_rows is not None
    wide = [out.scores, out.hidden, out.graph.edge_weight, out.graph.logits, *out.graph_rows]
    assert all(tensor.dtype == torch.float32 for tensor in wide)
    assert out.graph.edge_index.dtype == torch.int64
    assert out.log_dispersion is None


def test_the_deterministic_mode_ends_with_its_block() -> None:
    before = torch.are_deterministic_algorithms_enabled()
    with deterministic(torch.device("cuda")):
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.are_deterministic_algorithms_enabled() == before
