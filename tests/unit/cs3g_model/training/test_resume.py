"""A fit that was killed and goes on gives the same bytes as one that was left alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from cs3g_model.errors import CheckpointError, TrainingError
from cs3g_model.training.options import FitResult, RunOptions
from cs3g_model.training.place import CPU
from tests.unit.cs3g_model.training.fits import (
    SETTINGS,
    STEPS,
    STUDENT,
    TEACHER,
    Killed,
    assert_same_fit,
    small_fit,
)

ALWAYS, NEVER = 0.0, 1e9


@pytest.fixture(scope="module")
def undisturbed() -> FitResult:
    return small_fit()


def options(folder: Path, every_s: float = ALWAYS) -> RunOptions:
    return RunOptions(checkpoint=folder, resume=True, checkpoint_every_s=every_s)


@pytest.mark.parametrize("killed_at", range(1, 2 * STEPS + 1))
def test_a_fit_killed_after_any_update_resumes_to_the_same_bytes(
    tmp_path: Path, undisturbed: FitResult, killed_at: int
) -> None:
    with pytest.raises(Killed):
        small_fit(options(tmp_path), killed_at=killed_at)
    assert_same_fit(small_fit(options(tmp_path)), undisturbed)


@pytest.mark.parametrize("killed_at", [2, 3, 4, 7, 9])
def test_what_came_after_the_last_checkpoint_is_done_again(
    tmp_path: Path, undisturbed: FitResult, killed_at: int
) -> None:
    # Only validations, after updates 3, 5, 8 and 10, leave a checkpoint.
    with pytest.raises(Killed):
        small_fit(options(tmp_path, NEVER), killed_at=killed_at)
    written = {2: None, 3: 3, 4: 3, 7: 5, 9: 8}[killed_at]
    names = [path.name for path in tmp_path.iterdir() if path.suffix == ".safetensors"]
    assert names == ([] if written is None else [f"rank0-{written}.safetensors"])
    assert_same_fit(small_fit(options(tmp_path, NEVER)), undisturbed)


def test_a_fit_may_be_killed_again_and_again(tmp_path: Path, undisturbed: FitResult) -> None:
    for _ in range(2 * STEPS - 1):
        with pytest.raises(Killed):
            small_fit(options(tmp_path), killed_at=1)
    assert_same_fit(small_fit(options(tmp_path)), undisturbed)


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        (STUDENT, {}),
        (TEACHER, {"optimizer": "lamb", "learning_rate": 0.02}),
        (STUDENT, {"patience": 1, "epochs": 4}),
    ],
)
def test_other_models_and_optimizers_resume_as_well(
    tmp_path: Path, config: object, changes: dict[str, object]
) -> None:
    settings = msgspec.structs.replace(SETTINGS, **changes)
    alone = small_fit(config=config, settings=settings)
    with pytest.raises(Killed):
        small_fit(options(tmp_path), config=config, settings=settings, killed_at=4)
    assert_same_fit(small_fit(options(tmp_path), config=config, settings=settings), alone)


def test_a_finished_fit_is_not_run_again(tmp_path: Path, undisturbed: FitResult) -> None:
    small_fit(options(tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert_same_fit(small_fit(options(tmp_path), killed_at=1), undisturbed)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_holds_one_checkpoint_and_no_pickle(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        small_fit(options(tmp_path), killed_at=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fit.json", "rank0-4.safetensors"]
    assert json.loads((tmp_path / "fit.json").read_text())["version"] == 1


def test_a_checkpoint_is_not_overwritten_unasked(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        small_fit(options(tmp_path), killed_at=4)
    with pytest.raises(CheckpointError, match="resume"):
        small_fit(replace(options(tmp_path), resume=False))


@pytest.mark.parametrize(
    "other",
    [
        {"settings": msgspec.structs.replace(SETTINGS, epochs=3)},
        {"settings": msgspec.structs.replace(SETTINGS, seed=1)},
        {"config": STUDENT},
        {"config": msgspec.structs.replace(TEACHER, dropout=0.1)},
        {"config": msgspec.structs.replace(TEACHER, edges=5)},
    ],
)
def test_the_checkpoint_of_another_fit_is_refused(tmp_path: Path, other: dict[str, object]) -> None:
    with pytest.raises(Killed):
        small_fit(options(tmp_path), killed_at=2)
    with pytest.raises(CheckpointError, match="another fit"):
        small_fit(options(tmp_path), **other)  # type: ignore[arg-type]


def test_another_teacher_or_arithmetic_makes_another_fit(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        small_fit(replace(options(tmp_path), identity="teacher a"), killed_at=2)
    with pytest.raises(CheckpointError, match="another fit"):
        small_fit(replace(options(tmp_path), identity="teacher b"))
    with pytest.raises(CheckpointError, match="another fit"):
        small_fit(replace(options(tmp_path), identity="teacher a", place=replace(CPU, bf16=True)))


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        small_fit(options(tmp_path), killed_at=2)
    path = tmp_path / "rank0-2.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="sha256"):
        small_fit(options(tmp_path))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 99, "identity": "", "ranks": []}'])
def test_an_unreadable_or_newer_checkpoint_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "fit.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"fit\.json"):
        small_fit(options(tmp_path))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        small_fit(options(tmp_path), killed_at=2)
    (tmp_path / "rank0-2.safetensors").unlink()
    with pytest.raises(TrainingError, match=r"rank0-2"):
        small_fit(options(tmp_path))


def test_a_seed_makes_another_fit(undisturbed: FitResult) -> None:
    # Guards the tests above: they compare something that moves.
    other = small_fit(settings=msgspec.structs.replace(SETTINGS, seed=1))
    assert other.losses != undisturbed.losses
    assert len(undisturbed.valid_rank_ics) == 4
