"""`cs3g distill` with recipes, explainers and checkpoints on a small generated panel."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from cs3g.commands import distill, train
from cs3g.recipe_files import read_recipe
from cs3g_model.artifacts import load_artifact
from cs3g_model.distillation.recipe import Recipe
from cs3g_model.errors import ArtifactError, CheckpointError, ConfigError
from cs3g_model.manifest import Manifest

app = typer.Typer()
app.add_typer(train.app, name="train")
app.command("distill")(distill.distill)

OWN = """
[[stages]]
name = "mixing"
losses = { mixing = 1 }
[[stages]]
name = "end"
share = 2
losses = { soft = 1, decoupling = 0.1, distinguishing = 0.1, aligning = 0.1 }
[assistant]
model = { width = 10 }
[[assistant.stages]]
name = "all"
losses = { soft = 1 }
"""


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("panel")
    g = np.random.default_rng(0)
    closes = 100 * np.exp(np.cumsum(0.02 * g.standard_normal((60, 12)), axis=0))
    rows = [
        {
            "date": date(2020, 1, 1) + timedelta(days=t),
            "symbol": f"S{n:02d}",
            "open": closes[t, n],
            "high": closes[t, n] * 1.02,
            "low": closes[t, n] * 0.98,
            "close": closes[t, n],
            "volume": int(g.integers(1000, 9000)),
        }
        for t in range(60)
        for n in range(12)
    ]
    pl.DataFrame(rows).write_parquet(folder / "panel.parquet")
    (folder / "small.toml").write_text("[model]\nwidth = 8\n[train]\nchunk = 8\n")
    (folder / "plain.toml").write_text(
        "[model]\nwidth = 8\n[train]\nchunk = 8\n[distill]\nalpha = 0.5\nhint = 0.0\n"
    )
    (folder / "own.toml").write_text(OWN)
    return folder


def options(folder: Path) -> list[str | Path]:
    dates = ("--train-end", "2020-02-05", "--valid-end", "2020-02-20")
    return ["--data", folder / "panel.parquet", *dates, "--out", folder / "models"]


@pytest.fixture(scope="module")
def teachers(folder: Path) -> list[str]:
    settings = ("--config", folder / "small.toml", "--epochs", "1")
    lines = [run("train", "teacher", *options(folder), *settings, "--seed", str(seed)) for seed in (0, 1)]
    return [Path(line).name for line in lines]


def distilled(folder: Path, teacher: str, *more: str | Path, config: str = "small.toml") -> Manifest:
    line = run("distill", "--teacher", teacher, *options(folder), "--config", folder / config, *more)
    return load_artifact(Path(line)).manifest


def test_a_recipe_of_ones_own_with_assistant_and_explainers(folder: Path, teachers: list[str]) -> None:
    more = ("--recipe", folder / "own.toml", "--explainer", teachers[1], "--epochs", "2")
    manifest = distilled(folder, teachers[0], *more)
    assert manifest.parent_id == teachers[0]
    assert manifest.config["width"] == 8
    assert manifest.training["explainers"] == [teachers[1]]
    assert manifest.training["train"]["epochs"] == 2
    stages = manifest.training["recipe"]["stages"]
    assert [(stage["name"], stage["share"]) for stage in stages] == [("mixing", 1.0), ("end", 2.0)]
    assert manifest.training["recipe"]["assistant"]["model"] == {"width": 10}
    assert "valid_rank_ic_minus_teacher" in manifest.metrics


def test_no_recipe_is_the_default_one(folder: Path, teachers: list[str]) -> None:
    import msgspec

    silent = distilled(folder, teachers[0], "--epochs", "1")
    named = distilled(folder, teachers[0], "--epochs", "1", "--recipe", "default")
    assert silent.weights_sha256 == named.weights_sha256
    assert msgspec.convert(silent.training["recipe"], Recipe) == read_recipe("default")


def test_a_short_panel_is_passed_more_often_where_nobody_says(folder: Path, teachers: list[str]) -> None:
    said = "[model]\nwidth = 8\n[train]\nchunk = 8\npatience = 1\nchecks = 1\n"
    (folder / "silent.toml").write_text(said)
    (folder / "named.toml").write_text(said + "epochs = 1\n")
    epochs = [
        distilled(folder, teachers[0], config=name).training["train"]["epochs"]
        for name in ("silent.toml", "named.toml")
    ]
    assert epochs[0] > 40
    assert epochs[1] == 1


def test_the_settings_of_the_default_recipe_may_be_changed(folder: Path, teachers: list[str]) -> None:
    manifest = distilled(folder, teachers[0], "--epochs", "1", config="plain.toml")
    (stage,) = manifest.training["recipe"]["stages"]
    assert stage["losses"] == {"labels": 0.5, "soft": {"weight": 0.5, "temperature": 1.0}, "hint": 0.0}
    with pytest.raises(ConfigError, match="exclude each other"):
        distilled(folder, teachers[0], "--recipe", "plain", config="plain.toml")


def test_a_resumed_distillation_is_the_same_artifact(
    folder: Path, teachers: list[str], tmp_path: Path
) -> None:
    more = ("--recipe", "progressive", "--epochs", "3", "--checkpoint", tmp_path / "c")
    first = distilled(folder, teachers[0], *more, "--metrics", tmp_path / "m.jsonl")
    with pytest.raises(CheckpointError, match="--resume"):
        distilled(folder, teachers[0], *more)
    again = distilled(folder, teachers[0], *more, "--resume")
    assert again.weights_sha256 == first.weights_sha256
    lines = (tmp_path / "m.student-2-end-to-end.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["event"] == "validation"
    # Another teacher's checkpoint is not gone on from.
    with pytest.raises(CheckpointError, match="another fit"):
        distilled(folder, teachers[1], *more, "--resume")


def test_mistakes_are_told(folder: Path, teachers: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one of"):
        distilled(folder, teachers[0], "--recipe", "defualt")
    (tmp_path / "bad.toml").write_text("[[stages]]\nname = 'a'\nlosses = { soft = -1 }\n")
    with pytest.raises(ConfigError, match="weight"):
        distilled(folder, teachers[0], "--recipe", tmp_path / "bad.toml")
    student = distilled(folder, teachers[0], "--epochs", "1")
    with pytest.raises(ArtifactError, match="not a teacher"):
        distilled(folder, teachers[0], "--explainer", student.model_id)
    result = CliRunner().invoke(
        app, ["distill", "--teacher", teachers[0], *map(str, options(folder)), "--resume"]
    )
    assert result.exit_code == 2
    assert "--checkpoint" in result.output
