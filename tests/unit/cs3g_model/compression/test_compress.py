"""A whole compression on a small market: it fits the budget, keeps the ranking, and repeats itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cs3g_model.artifacts import load_artifact, runtime_of, save_artifact
from cs3g_model.compression.budget import check_budget, choose_bits, smallest_file_bytes
from cs3g_model.compression.compress import Compressed, compress
from cs3g_model.compression.layout import canonical
from cs3g_model.compression.packing import SweepRow, pack
from cs3g_model.compression.settings import CompressConfig
from cs3g_model.config import StudentConfig, TeacherConfig, TrainConfig
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.errors import BudgetError, CompressionError, ConfigError
from cs3g_model.training.loop import train
from cs3g_model.training.options import OnProgress, Progress
from tests.unit.cs3g_model.factories import planted_market, student_module, teacher_module, tensors_of

STUDENT = StudentConfig(width=8, state_size=2, rank=3)
TEACHER = TeacherConfig(width=8, layers=1, state_size=2, heads=1, rank=2, edges=4, dropout=0.0)
FAST = TrainConfig(epochs=4, learning_rate=1e-2, chunk=10, average=0.8, checks=1, dispersion=0.0)
QUICK = CompressConfig(tune=FAST, quantize=TrainConfig(epochs=2, learning_rate=2e-3, chunk=10, average=0.8))


class Told:
    """A reporter that notes what it is told."""

    def __init__(self) -> None:
        self.fits: dict[str, list[Progress]] = {}
        self.trials: list[tuple[int, int]] = []

    @contextmanager
    def fitting(self, title: str) -> Iterator[OnProgress]:
        yield self.fits.setdefault(title, []).append

    @contextmanager
    def trying(self, title: str) -> Iterator:
        yield lambda done, total: self.trials.append((done, total))


@pytest.fixture(scope="module")
def market() -> LabeledSnapshots:
    return planted_market(T=90, N=30)


@pytest.fixture(scope="module")
def student(market: LabeledSnapshots) -> dict[str, np.ndarray]:
    return train(STUDENT, market, FAST).tensors


def file_bytes(folder: Path, compressed: Compressed) -> int:
    path = save_artifact(folder, compressed.config, compressed.stored, quantization=compressed.quantization)
    return (path / "model.safetensors").stat().st_size


@pytest.mark.parametrize("budget", [600, 900, 100_000])
def test_the_file_fits_and_the_ranking_stays(
    market: LabeledSnapshots, student: dict[str, np.ndarray], tmp_path: Path, budget: int
) -> None:
    told = Told()
    compressed = compress(STUDENT, student, market, budget, QUICK, reporter=told)
    size = file_bytes(tmp_path, compressed)
    assert size <= budget
    m = compressed.metrics
    assert m["parent"]["agreement"] == pytest.approx(1.0)
    assert m[m["kept"]]["agreement"] == max(m["rounded"]["agreement"], m["trained"]["agreement"])
    assert m[m["kept"]]["agreement"] > (0.9 if budget == 600 else 0.99)
    if budget < 1000:
        assert size > budget - 60  # what is allowed is used
        assert any(bits < 8 for bits in compressed.quantization.groups.values())
    assert list(told.fits) == ["quantization"]
    assert told.trials[-1][0] == told.trials[-1][1] == len(compressed.quantization.sweep)
    # What was judged is what is served from the file.
    artifact = load_artifact(next(tmp_path.iterdir()))
    served, made = runtime_of(artifact), compressed.runtime("id")
    scores = [r.step_many(market.snapshots, r.initial_state(30))[0] for r in (served, made)]
    np.testing.assert_array_equal(*scores)


def test_a_pruned_student_learns_from_the_teacher_again(
    market: LabeledSnapshots, student: dict[str, np.ndarray]
) -> None:
    settings = CompressConfig(
        width=5, state_size=1, rank=2, tune=FAST, quantize=QUICK.quantize, activations=True
    )
    told = Told()
    teacher = TEACHER, tensors_of(teacher_module(TEACHER))
    compressed = compress(STUDENT, student, market, 700, settings, teacher=teacher, reporter=told)
    assert (compressed.config.width, compressed.config.state_size, compressed.config.rank) == (5, 1, 2)
    assert list(told.fits) == ["fine-tuning", "quantization"]
    assert set(compressed.quantization.activations) == {"bands", "u", "y", "parts", "z"}
    assert compressed.metrics["tuned"]["agreement"] > 0.8
    alone = compress(STUDENT, student, market, 700, settings)
    assert pack(alone.stored)[0] != pack(compressed.stored)[0]


def test_a_seed_decides_every_byte(market: LabeledSnapshots, student: dict[str, np.ndarray]) -> None:
    a, b = (compress(STUDENT, student, market, 700, QUICK) for _ in range(2))
    assert pack(a.stored) == pack(b.stored)
    assert a.quantization == b.quantization
    assert a.metrics == b.metrics


def test_an_impossible_budget_is_refused_before_training(
    market: LabeledSnapshots, student: dict[str, np.ndarray], tmp_path: Path
) -> None:
    smallest = smallest_file_bytes(canonical(STUDENT, student))
    told = Told()
    with pytest.raises(BudgetError, match=f"{smallest}") as error:
        compress(STUDENT, student, market, smallest - 1, QUICK, reporter=told)
    assert error.value.smallest_bytes == smallest
    assert not told.fits
    assert not told.trials
    rounded = compress(STUDENT, student, market, smallest, CompressConfig(quantize=None))
    assert file_bytes(tmp_path, rounded) == smallest
    assert rounded.metrics["kept"] == "rounded"


def test_bits_meet_the_budget_to_the_byte() -> None:
    tensors = canonical(STUDENT, tensors_of(student_module(STUDENT)))
    check_budget(tensors, 10_000)
    rows = [
        SweepRow(group="a", bits=b, bytes=10 * b, agreement=1 - 2.0**-b, rank_ic=0.0) for b in range(2, 9)
    ]
    assert choose_bits(rows, 10_000) == {"a": 8}
    sizes = {b: min(n for n in range(1, 400) if choose_or_none(rows, n) == {"a": b}) for b in (2, 5, 8)}
    assert sizes[5] - sizes[2] == 30
    with pytest.raises(BudgetError):
        choose_bits(rows, sizes[2] - 1)


def choose_or_none(rows: list[SweepRow], budget: int) -> dict[str, int] | None:
    try:
        return choose_bits(rows, budget)
    except BudgetError:
        return None


def test_bad_settings_are_refused(market: LabeledSnapshots, student: dict[str, np.ndarray]) -> None:
    with pytest.raises(CompressionError, match="width"):
        compress(STUDENT, student, market, 1000, CompressConfig(width=9))
    with pytest.raises(ConfigError, match="tune_anchor"):
        CompressConfig(tune_anchor=1.5)
