"""Training on a small planted market."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cs3g_model.config import StudentConfig, TeacherConfig, TrainConfig
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.errors import TrainingError
from cs3g_model.metrics import rank_ic
from cs3g_model.student import Student
from cs3g_model.teacher_runtime import TeacherRuntime
from cs3g_model.training.label_losses import LabelObjective
from cs3g_model.training.loop import fit, train
from cs3g_model.training.options import Extent, FitResult, Progress
from tests.unit.cs3g_model.factories import make_snapshots, planted_market

TEACHER = TeacherConfig(width=8, layers=1, state_size=2, heads=1, rank=2, edges=4, dropout=0.0)
STUDENT = StudentConfig(width=8, state_size=2, rank=2)
FAST = TrainConfig(epochs=12, learning_rate=1e-2, chunk=10, average=0.8, checks=1)


@pytest.fixture(scope="module")
def market() -> LabeledSnapshots:
    return planted_market()


@pytest.fixture(scope="module")
def teacher(market: LabeledSnapshots) -> FitResult:
    return train(TEACHER, market, FAST)


def valid_rank_ic(scores: np.ndarray, market: LabeledSnapshots) -> float:
    part = slice(market.train_stop, market.valid_stop)
    return float(
        np.nanmean(rank_ic(scores[part], market.labels[part], market.scored(*part.indices(999)[:2])))
    )


def test_training_lowers_the_loss_and_finds_the_signal(market: LabeledSnapshots, teacher: FitResult) -> None:
    assert teacher.losses[-1] < 0.6 * teacher.losses[0]
    runtime = TeacherRuntime(TEACHER, teacher.tensors, "id")
    scores, _ = runtime.step_many(market.snapshots, runtime.initial_state(40))
    # The oracle without memory knows one of the two equal parts of the signal.
    memoryless = valid_rank_ic(market.snapshots.features[..., 0], market)
    assert 0.5 < memoryless < 0.75
    assert valid_rank_ic(scores, market) > memoryless + 0.1
    assert valid_rank_ic(scores, market) == pytest.approx(max(teacher.valid_rank_ics), abs=0.01)


def test_shuffled_labels_teach_nothing(market: LabeledSnapshots) -> None:
    shuffled = np.random.default_rng(0).permuted(market.labels, axis=1)
    control = LabeledSnapshots(market.snapshots, shuffled, market.train_stop, market.valid_stop)
    assert abs(train(STUDENT, control, FAST).valid_rank_ics[-1]) < 0.1


def test_a_seed_decides_every_bit(market: LabeledSnapshots) -> None:
    short = TrainConfig(epochs=1, chunk=25, seed=5)
    a, b = train(STUDENT, market, short), train(STUDENT, market, short)
    other = train(STUDENT, market, TrainConfig(epochs=1, chunk=25, seed=6))
    assert a.losses == b.losses
    for name, tensor in a.tensors.items():
        np.testing.assert_array_equal(tensor, b.tensors[name])
    assert a.losses != other.losses


def test_progress_tells_where_the_fit_stands(market: LabeledSnapshots) -> None:
    seen: list[Progress] = []
    result = train(STUDENT, market, TrainConfig(epochs=2, chunk=50, checks=2), seen.append)
    assert [(p.epoch, p.step, p.steps) for p in seen] == [(0, 1, 2), (0, 2, 2), (1, 1, 2), (1, 2, 2)]
    assert seen[-1].remaining_s == 0
    assert all(math.isfinite(p.loss) for p in seen)
    assert seen[-1].valid_rank_ic == result.valid_rank_ics[-1]
    assert len(result.losses) == 4


def test_patience_ends_a_fit(market: LabeledSnapshots) -> None:
    result = train(STUDENT, market, TrainConfig(epochs=50, chunk=50, patience=2, learning_rate=1e-8))
    assert len(result.valid_rank_ics) <= 1 + 2 + result.best_check


@pytest.mark.parametrize("updates", [1, 3, 10])
def test_a_fit_may_end_inside_an_epoch_and_keep_what_it_has(market: LabeledSnapshots, updates: int) -> None:
    settings = TrainConfig(chunk=20, learning_rate=1e-2, patience=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Student(STUDENT)
    objective = LabelObjective(market.labels[:100], market.scored(0, 100), settings)
    seen: list[Progress] = []
    result = fit(
        model, market, settings, objective, seen.append, extent=Extent(updates=updates, keeps_last=True)
    )
    assert len(seen) == updates
    assert seen[-1].epochs == math.ceil(updates / 5)
    assert result.best_check == len(result.losses) - 1
    # The running average after so few updates is close to the model, and moved with it.
    moved = np.abs(result.tensors["outward.weight"]).sum()
    assert moved > 0
    assert np.abs(result.tensors["outward.weight"] - model.outward.weight.detach().numpy()).sum() < moved


def test_a_loss_that_is_not_finite_ends_the_fit(market: LabeledSnapshots) -> None:
    market.snapshots.features[0, 0, 0], kept = np.inf, market.snapshots.features[0, 0, 0]
    with pytest.raises(TrainingError, match="learning_rate"):
        train(STUDENT, market, TrainConfig(epochs=1))
    market.snapshots.features[0, 0, 0] = kept


def test_the_last_label_of_a_part_never_counts(market: LabeledSnapshots) -> None:
    assert not market.scored(0, market.train_stop)[-1].any()
    assert market.scored(0, market.train_stop)[-2].any()
    changed = market.labels.copy()
    changed[market.train_stop - 1] = 9.0
    changed[market.valid_stop - 1] = -9.0
    other = LabeledSnapshots(market.snapshots, changed, market.train_stop, market.valid_stop)
    short = TrainConfig(epochs=1, chunk=25)
    assert train(STUDENT, other, short).valid_rank_ics == train(STUDENT, market, short).valid_rank_ics


def test_bad_splits_and_missing_labels_are_refused() -> None:
    s = make_snapshots(T=12)
    labels = np.zeros((12, 15), np.float32)
    with pytest.raises(TrainingError, match="train_stop"):
        LabeledSnapshots(s, labels, 13, 13)
    with pytest.raises(TrainingError, match="no label"):
        LabeledSnapshots(s, np.full_like(labels, np.nan), 8, 12)
