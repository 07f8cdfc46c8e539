"""`cs3g compress` on a small generated panel."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from cs3g.commands import compress, distill, score, train
from cs3g_model.artifacts import load_artifact
from cs3g_model.errors import ArtifactError, BudgetError, CompressionError, ConfigError

DAYS, SYMBOLS = 60, 20

app = typer.Typer()
app.add_typer(train.app, name="train")
app.command("distill")(distill.distill)
app.command("compress")(compress.compress)
app.command("score")(score.score)

SETTINGS = """
[compress]
tune_anchor = 0.25
[tune]
chunk = 8
epochs = 3
[quantize]
chunk = 8
learning_rate = 1e-4
[distill]
alpha = 0.5
"""


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("panel")
    g = np.random.default_rng(0)
    closes = 100 * np.exp(np.cumsum(0.02 * g.standard_normal((DAYS, SYMBOLS)), axis=0))
    rows = [
        {
            "date": date(2020, 1, 1) + timedelta(days=t),
            "symbol": f"S{n:02d}",
            "open": closes[t, n] * 0.99,
            "high": closes[t, n] * 1.02,
            "low": closes[t, n] * 0.98,
            "close": closes[t, n],
            "volume": int(g.integers(1000, 9000)),
        }
        for t in range(DAYS)
        for n in range(SYMBOLS)
    ]
    pl.DataFrame(rows).write_parquet(folder / "panel.parquet")
    sectors = {"symbol": [f"S{n:02d}" for n in range(SYMBOLS)], "sector": ["A", "B"] * (SYMBOLS // 2)}
    pl.DataFrame(sectors).write_parquet(folder / "sectors.parquet")
    (folder / "fit.toml").write_text("[model]\nwidth = 8\n[train]\nchunk = 8\n")
    (folder / "settings.toml").write_text(SETTINGS)
    return folder


def panel_options(folder: Path) -> list[str | Path]:
    return [
        *("--data", folder / "panel.parquet"),
        *("--relations", folder / "sectors.parquet"),
        *("--train-end", "2020-02-05", "--valid-end", "2020-02-20"),
        *("--out", folder / "models"),
    ]


@pytest.fixture(scope="module")
def teacher(folder: Path) -> Path:
    fit = ["--config", folder / "fit.toml", "--epochs", "1", "--device", "cpu"]
    return Path(run("train", "teacher", *panel_options(folder), *fit))


@pytest.fixture(scope="module")
def student(folder: Path, teacher: Path) -> Path:
    fit = ["--config", folder / "fit.toml", "--epochs", "2", "--device", "cpu"]
    return Path(run("distill", "--teacher", teacher.name, *panel_options(folder), *fit))


def test_a_student_is_compressed_saved_and_scored(folder: Path, student: Path) -> None:
    options = [*panel_options(folder), "--test-end", "2020-02-29", "--seed", "3"]
    line = run("compress", "--student", student.name, "--budget-bytes", "1400", *options)
    path = Path(line)
    m = load_artifact(path).manifest
    assert (path / "model.safetensors").stat().st_size == m.weights_bytes <= 1400
    parent = load_artifact(student).manifest
    assert m.parent_id == student.name
    assert m.weights_bytes * 3 < parent.weights_bytes
    assert m.config == parent.config
    assert m.seed == 3
    assert m.training["compress"]["quantize"]["seed"] == 3
    assert m.training["budget_bytes"] == 1400
    assert set(m.splits) == {"train", "valid", "test"}
    assert m.quantization is not None
    assert {row.group for row in m.quantization.sweep} == set(m.quantization.groups)
    kept = m.metrics["compression"][m.metrics["compression"]["kept"]]
    assert m.metrics["valid_parent_agreement"] > 0.9
    assert kept["agreement"] == pytest.approx(m.metrics["valid_parent_agreement"], abs=0.05)
    assert "valid_agreement" not in m.metrics
    assert m.metrics["test_rank_ic"]["low"] <= m.metrics["test_rank_ic"]["mean"]
    target = folder / "scores.parquet"
    run("score", "--model", path, "--data", folder / "panel.parquet", "--out", target)
    assert pl.read_parquet(target)["score"].is_finite().all()
    # A compressed student may be compressed once more, and the same command is the same file.
    again = run("compress", "--student", student.name, "--budget-bytes", "1400", *options)
    assert load_artifact(Path(again)).manifest.weights_sha256 == m.weights_sha256
    smaller = run("compress", "--student", path, "--budget-bytes", "900", "--qat-epochs", "0", *options)
    assert load_artifact(Path(smaller)).manifest.weights_bytes <= 900


def test_pruning_and_a_teacher_and_a_settings_file(folder: Path, teacher: Path, student: Path) -> None:
    line = run(
        *("compress", "--student", student, "--teacher", teacher, "--budget-bytes", "900"),
        *("--prune-width", "6", "--prune-state", "2", "--prune-rank", "4", "--activations"),
        *("--tune-epochs", "2", "--config", folder / "settings.toml"),
        *panel_options(folder),
    )
    m = load_artifact(Path(line)).manifest
    assert (m.config["width"], m.config["state_size"], m.config["rank"]) == (6, 2, 4)
    assert m.quantization is not None
    assert set(m.quantization.activations) == {"bands", "u", "y", "parts", "z"}
    settings = m.training["compress"]
    assert settings["tune_anchor"] == 0.25
    assert settings["tune"]["epochs"] == 2
    assert settings["tune"]["learning_rate"] == 1e-3
    assert settings["quantize"]["learning_rate"] == 1e-4
    assert settings["distill"]["alpha"] == 0.5
    assert m.training["teacher"] == teacher.name
    assert -1 <= m.metrics["valid_agreement"] <= 1
    assert set(m.metrics["compression"]) == {"parent", "tuned", "rounded", "trained", "kept"}


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"--budget-bytes": "300"}, BudgetError, r"300 bytes is too small: the weights file takes \d"),
        ({"--prune-width": "9"}, CompressionError, "width"),
        ({"--student": "TEACHER"}, ArtifactError, "not a student"),
        ({"--teacher": "STUDENT"}, ArtifactError, "not a teacher"),
    ],
)
def test_bad_input_is_one_error_and_leaves_nothing(
    folder: Path, teacher: Path, student: Path, change: dict[str, str], error: type[Exception], match: str
) -> None:
    options = {"--student": str(student), "--budget-bytes": "1400"} | change
    names = {"TEACHER": str(teacher), "STUDENT": str(student)}
    flat = [text for name, value in options.items() for text in (name, names.get(value, value))]
    before = sorted((folder / "models").iterdir())
    with pytest.raises(error, match=match):
        run("compress", *flat, *panel_options(folder))
    assert sorted((folder / "models").iterdir()) == before


@pytest.mark.parametrize(
    "text",
    ["[tune]\nepochs = 0", "[other]", "[compress]\nwidth = 4", "[compress.tune]\nepochs = 1"],
)
def test_a_bad_settings_file_is_refused(folder: Path, student: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.toml"):
        run(
            *("compress", "--student", student, "--budget-bytes", "1400", "--config", tmp_path / "bad.toml"),
            *panel_options(folder),
        )
