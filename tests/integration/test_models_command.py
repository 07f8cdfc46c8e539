"""`cs3g models list`: every model's id, role, bytes, parameters and metrics, and those that cannot be used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cs3g.cli import app
from cs3g_model.artifacts import save_artifact
from cs3g_model.compression.packing import Quantization, QuantizedArray
from cs3g_model.errors import ArtifactFormatError, ArtifactTamperedError
from tests.unit.cs3g_model.factories import (
    SMALL_STUDENT,
    SMALL_TEACHER,
    student_module,
    teacher_module,
    tensors_of,
)

METRICS = {
    "valid_rank_ic": {"mean": 0.031, "low": 0.01, "high": 0.05},
    "test_rank_ic": 0.0123,
    "valid_ic": 0.02,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    teacher = save_artifact(tmp_path, SMALL_TEACHER, tensors_of(teacher_module()), metrics=METRICS)
    save_artifact(tmp_path, SMALL_STUDENT, tensors_of(student_module()), parent_id=teacher.name)
    return tmp_path


def run_json(folder: Path) -> list[dict[str, object]]:
    result = CliRunner().invoke(app, ["models", "list", "--folder", str(folder), "--json"])
    rows: list[dict[str, object]] = json.loads(result.stdout)
    return rows


def test_json_has_what_a_script_asks_for(folder: Path) -> None:
    student, teacher = run_json(folder)
    assert (student["role"], teacher["role"]) == ("student", "teacher")
    for row in (student, teacher):
        weights = Path(str(row["path"])) / "model.safetensors"
        assert row["id"] == weights.parent.name
        assert row["bytes"] == weights.stat().st_size
        assert row["precision"] == "float32"
    assert student["params"] == sum(t.size for t in tensors_of(student_module()).values())
    assert teacher["metrics"] == METRICS
    assert student["metrics"] == {}
    assert student["times_smaller_than_parent"] == pytest.approx(teacher["bytes"] / student["bytes"])  # type: ignore[operator]
    assert teacher["times_smaller_than_parent"] is None


def test_the_bits_of_quantized_weights_are_told(tmp_path: Path) -> None:
    eight, four = (
        QuantizedArray(
            np.arange(6, dtype=np.uint8).reshape(2, 3), np.ones(1, np.float32), np.full(1, 7, np.uint8), bits
        )
        for bits in (8, 4)
    )
    save_artifact(
        tmp_path,
        SMALL_STUDENT,
        {"a": eight, "b": four, "c": np.ones(3, np.float16)},
        quantization=Quantization(groups={"first": 8, "second": 4, "third": 16}),
    )
    (row,) = run_json(tmp_path)
    assert row["precision"] == "4/8/16 bits"


def test_the_table_shows_metrics_with_their_limits(folder: Path) -> None:
    result = CliRunner().invoke(app, ["models", "list", "--folder", str(folder)])
    assert result.exit_code == 0
    assert "0.0310 [0.0100, 0.0500]" in result.stdout
    assert "0.0123" in result.stdout
    assert len(result.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"artifact_version": 99}, ArtifactFormatError, "artifact_version"),
        ({"feature_schema_version": 99}, ArtifactTamperedError, "hashes to"),
        ({"parameters": 1}, ArtifactTamperedError, "hashes to"),
    ],
)
def test_a_model_that_cannot_be_used_does_not_hide_the_others(
    folder: Path, change: dict[str, int], error: type[Exception], words: str
) -> None:
    (teacher,) = [Path(str(row["path"])) for row in run_json(folder) if row["role"] == "teacher"]
    other = folder / "other"
    shutil.copytree(teacher, other)
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest | change))
    result = CliRunner().invoke(app, ["models", "list", "--folder", str(folder), "--json"])
    assert isinstance(result.exception, error)
    assert words in str(result.exception)
    assert [row["role"] for row in json.loads(result.stdout)] == ["student", "teacher"]


def test_an_empty_folder_lists_nothing(tmp_path: Path) -> None:
    assert run_json(tmp_path) == []
