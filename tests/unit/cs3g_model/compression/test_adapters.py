"""Adapters: nothing at first, little to learn, and folded away exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cs3g_model.compression.adapters import AdaptedStudent, adapt
from cs3g_model.compression.layout import canonical
from cs3g_model.config import StudentConfig, TrainConfig
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.errors import CompressionError
from cs3g_model.inputs import initial_tensors, snapshot_tensors
from cs3g_model.metrics import rank_ic
from cs3g_model.student_runtime import StudentRuntime
from cs3g_model.training.loop import train
from tests.unit.cs3g_model.factories import make_snapshots, planted_market, student_module, tensors_of

CONFIG = StudentConfig(width=8, state_size=2, rank=2)
SETTINGS = TrainConfig(epochs=6, learning_rate=2e-2, chunk=10, average=0.8, checks=1)


def other_market() -> LabeledSnapshots:
    """What moved returns by feature 0 moves them by feature 1 here."""
    market = planted_market(T=90, N=30, seed=5)
    features = market.snapshots.features
    features[..., [0, 1]] = features[..., [1, 0]]
    return market


def valid_rank_ic(tensors: dict[str, np.ndarray], market: LabeledSnapshots) -> float:
    runtime = StudentRuntime(CONFIG, tensors, "id")
    scores, _ = runtime.step_many(market.snapshots, runtime.initial_state(30))
    start, stop = market.train_stop, market.valid_stop
    return float(np.nanmean(rank_ic(scores[start:], market.labels[start:], market.scored(start, stop))))


def test_an_adapted_student_starts_as_itself() -> None:
    config = StudentConfig(width=8, state_size=2, rank=2, wavelet_levels=0)
    for chosen in (CONFIG, config):
        tensors = tensors_of(student_module(chosen))
        model = AdaptedStudent(chosen, tensors, 3)
        folded = canonical(chosen, tensors)
        for name, array in model.export().items():
            np.testing.assert_array_equal(array, folded[name])
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        assert trained == {
            f"adapters.{site}.{part}" for site in ("before", "after") for part in ("up", "down", "scale")
        }


def test_a_frozen_student_learns_another_market_and_serves_it() -> None:
    home, away = planted_market(T=90, N=30), other_market()
    tensors = train(CONFIG, home, SETTINGS).tensors
    adapted, result = adapt(CONFIG, tensors, away, SETTINGS, rank=2)
    assert valid_rank_ic(tensors, home) > 0.5
    assert valid_rank_ic(tensors, away) < 0.3
    assert valid_rank_ic(adapted, away) > valid_rank_ic(tensors, away) + 0.3
    folded = canonical(CONFIG, tensors)
    for name, array in folded.items():
        np.testing.assert_array_equal(result.tensors[f"student.{name}"], array)
        change = adapted[name] - array
        if name in ("inward.bands.weight", "hidden.weight"):
            assert 1 <= np.linalg.matrix_rank(change, tol=1e-4) <= 2
        else:
            assert not change.any()
    # The folded weights are the adapted module.
    model = AdaptedStudent(CONFIG, tensors, 2)
    model.load_state_dict({name: torch.tensor(array) for name, array in result.tensors.items()})
    s = make_snapshots(20, 30)
    with torch.no_grad():
        output, _ = model.eval()(snapshot_tensors(s), initial_tensors(model.state_shapes(), 30))
    runtime = StudentRuntime(CONFIG, adapted, "id")
    scores, _ = runtime.step_many(s, runtime.initial_state(30))
    np.testing.assert_allclose(output.scores.numpy(), scores, atol=2e-5)


def test_a_seed_decides_every_bit() -> None:
    tensors = tensors_of(student_module(CONFIG))
    short = TrainConfig(epochs=1, chunk=30)
    a, b = (adapt(CONFIG, tensors, other_market(), short, rank=1)[0] for _ in range(2))
    for name, array in a.items():
        np.testing.assert_array_equal(array, b[name])


@pytest.mark.parametrize("rank", [0, 9])
def test_a_rank_beyond_the_width_is_refused(rank: int) -> None:
    with pytest.raises(CompressionError, match="rank"):
        AdaptedStudent(CONFIG, tensors_of(student_module(CONFIG)), rank)
