"""`cs3g train`: students, seeds, resumption and metrics."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cs3g.commands import train
from cs3g_model.artifacts import load_artifact
from cs3g_model.errors import CheckpointError
from tests.integration.small_panel import write_panel

app = typer.Typer()
app.add_typer(train.app, name="train")


def run(*arguments: str | Path) -> list[str]:
    result = CliRunner().invoke(app, ["train", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout.strip().splitlines()


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_panel(tmp_path_factory.mktemp("panel"))


def test_a_student_learns_without_a_teacher(options: list[str], tmp_path: Path) -> None:
    (line,) = run("student", *options, "--out", tmp_path)
    manifest = load_artifact(Path(line)).manifest
    assert manifest.role == "student"
    assert manifest.parent_id is None
    assert manifest.config["width"] == 8
    assert set(manifest.splits) == {"train", "valid", "test"}
    assert -1 <= manifest.metrics["test_rank_ic"]["mean"] <= 1
    assert [path.name for path in tmp_path.iterdir()] == [manifest.model_id]


def test_seeds_make_a_model_each_and_a_summary(options: list[str], tmp_path: Path) -> None:
    metrics = tmp_path / "metrics" / "fit.jsonl"
    *folders, summary_path = run(
        "student", *options, "--seeds", "2,0,1", "--out", tmp_path, "--metrics", metrics
    )
    manifests = [load_artifact(Path(folder)).manifest for folder in folders]
    assert [manifest.seed for manifest in manifests] == [2, 0, 1]
    assert [manifest.training["seed"] for manifest in manifests] == [2, 0, 1]
    assert len({manifest.weights_sha256 for manifest in manifests}) == 3

    assert Path(summary_path) == tmp_path / "student-seeds.json"
    summary = json.loads(Path(summary_path).read_text())
    assert summary["role"] == "student"
    assert [row["id"] for row in summary["seeds"]] == [manifest.model_id for manifest in manifests]
    for name in ("valid_rank_ic", "test_rank_ic"):
        values = [manifest.metrics[name]["mean"] for manifest in manifests]
        assert [row[name] for row in summary["seeds"]] == values
        assert summary[name]["mean"] == pytest.approx(statistics.mean(values))
        assert summary[name]["std"] == pytest.approx(statistics.stdev(values))
        ensemble = summary[name]["ensemble"]
        assert ensemble["low"] <= ensemble["mean"] <= ensemble["high"]

    assert sorted(path.name for path in metrics.parent.iterdir()) == [
        f"fit-seed-{seed}.jsonl" for seed in range(3)
    ]

    # A seed's fit does not depend on its company.
    (alone,) = run("student", *options, "--seed", "2", "--out", tmp_path / "alone")
    assert load_artifact(Path(alone)).manifest.weights_sha256 == manifests[0].weights_sha256


def test_a_fit_is_kept_resumed_and_told(options: list[str], tmp_path: Path) -> None:
    kept = ["--checkpoint", tmp_path / "fits", "--metrics", tmp_path / "fit.jsonl", "--out", tmp_path]
    (first,) = run("teacher", *options, *kept)
    assert (tmp_path / "fits" / "seed-0" / "fit.json").is_file()
    lines = [json.loads(line) for line in (tmp_path / "fit.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines].count("validation") == 2
    assert all(line["valid_rank_ic"] is not None for line in lines if line["event"] == "validation")
    with pytest.raises(CheckpointError, match="resume"):
        run("teacher", *options, *kept)
    (second,) = run("teacher", *options, *kept, "--resume")
    assert load_artifact(Path(second)).manifest.weights_sha256 == (
        load_artifact(Path(first)).manifest.weights_sha256
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--seeds", "0,1", "--seed", "3"], "not both"),
        (["--seeds", "0,zero"], "different numbers"),
        (["--seeds", "0,0"], "different numbers"),
        (["--seeds", "-1"], "different numbers"),
        (["--seeds", ""], "different numbers"),
        (["--resume"], "--checkpoint"),
        (["--device", "tpu"], "tpu"),
    ],
)
def test_mistakes_are_told_before_anything_is_read(tmp_path: Path, arguments: list[str], says: str) -> None:
    dates = ["--train-end", "2020-02-05", "--valid-end", "2020-02-20"]
    result = CliRunner().invoke(
        app,
        ["train", "student", "--data", "nowhere.parquet", *dates, "--out", str(tmp_path), *arguments],
        env={"COLUMNS": "200"},
    )
    assert result.exit_code == 2
    assert says in result.output
    assert not list(tmp_path.iterdir())
