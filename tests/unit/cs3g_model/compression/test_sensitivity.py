"""The sweep: bytes as they will be, and costs that fall with more bits."""

from __future__ import annotations

import numpy as np
import pytest

from cs3g_model.compression.layout import canonical, groups_of
from cs3g_model.compression.quantized import choices_of
from cs3g_model.compression.sensitivity import Judge, sweep
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.metrics import rank_ic
from cs3g_model.student_runtime import StudentRuntime
from tests.unit.cs3g_model.factories import SMALL_STUDENT, planted_market, student_module, tensors_of


@pytest.fixture(scope="module")
def market() -> LabeledSnapshots:
    return planted_market(T=90, N=30)


def test_a_judge_compares_on_the_validation_windows(market: LabeledSnapshots) -> None:
    tensors = tensors_of(student_module())
    model = StudentRuntime(SMALL_STUDENT, tensors, "id")
    judge = Judge(market, model)
    verdict = judge(model)
    assert verdict.agreement == pytest.approx(1.0)
    scores, _ = model.step_many(market.snapshots, model.initial_state(30))
    part = slice(market.train_stop, market.valid_stop)
    expected = rank_ic(scores[part], market.labels[part], market.scored(60, 90))
    assert verdict.rank_ic == pytest.approx(float(np.nanmean(expected)), abs=1e-4)
    other = judge(StudentRuntime(SMALL_STUDENT, tensors_of(student_module(seed=1)), "id"))
    assert other.agreement < 0.9


def test_the_sweep_tries_every_choice_and_more_bits_agree_more(market: LabeledSnapshots) -> None:
    tensors = canonical(SMALL_STUDENT, tensors_of(student_module()))
    calls: list[tuple[int, int]] = []
    rows = sweep(
        SMALL_STUDENT,
        tensors,
        Judge(market, StudentRuntime(SMALL_STUDENT, tensors, "id")),
        progress=lambda done, total: calls.append((done, total)),
    )
    expected = [(group, n) for group in groups_of(tensors) for n in choices_of(group)]
    assert [(row.group, row.bits) for row in rows] == expected
    assert calls == [(i, len(expected)) for i in range(1, len(expected) + 1)]
    for group in groups_of(tensors):
        of_group = {row.bits: row for row in rows if row.group == group}
        assert of_group[32].agreement == pytest.approx(1.0, abs=1e-9)
        assert of_group[16].bytes * 2 == of_group[32].bytes
        if group != "rest":
            assert of_group[2].agreement <= of_group[4].agreement <= of_group[8].agreement
            assert of_group[2].bytes < of_group[3].bytes < of_group[8].bytes < of_group[16].bytes
            assert of_group[8].agreement > 0.99
        if group in ("inward", "hidden", "outward"):
            assert of_group[2].agreement < of_group[4].agreement < of_group[8].agreement


def test_without_validation_windows_the_training_ones_count(market: LabeledSnapshots) -> None:
    data = LabeledSnapshots(market.snapshots, market.labels, 90, 90)
    tensors = tensors_of(student_module())
    judge = Judge(data, StudentRuntime(SMALL_STUDENT, tensors, "id"))
    assert judge.reference.shape == (90, 30)
