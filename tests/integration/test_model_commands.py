"""`cs3g train`, `distill`, `score` and `models` on a small generated panel, in their own processes' code."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from cs3g.commands import distill, models, score, train
from cs3g.panel_data import PanelFile, continuously_present, next_returns
from cs3g_model.artifacts import load_artifact
from cs3g_model.errors import ConfigError, ModelError, TrainingError
from replay.errors import ReplayError

DAYS, SYMBOLS = 60, 12

app = typer.Typer()
app.add_typer(train.app, name="train")
app.add_typer(models.app, name="models")
app.command("distill")(distill.distill)
app.command("score")(score.score)

SMALL = """
[model]
width = 8
[train]
chunk = 8
"""


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


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
            "adjusted_close": closes[t, n] / 2,
        }
        for t in range(DAYS)
        for n in range(SYMBOLS)
        if (t, n) != (40, 3)
    ]
    pl.DataFrame(rows).write_parquet(folder / "panel.parquet")
    sectors = {"symbol": [f"S{n:02d}" for n in range(SYMBOLS)], "sector": ["A", "B", "C"] * (SYMBOLS // 3)}
    pl.DataFrame(sectors).write_parquet(folder / "sectors.parquet")
    (folder / "small.toml").write_text(SMALL)
    return folder


@pytest.fixture(scope="module")
def teacher(folder: Path) -> Path:
    line = run(
        "train", "teacher", *panel_options(folder), "--test-end", "2020-02-29", "--out", folder / "models"
    )
    return Path(line)


def panel_options(folder: Path) -> list[str | Path]:
    return [
        *("--data", folder / "panel.parquet"),
        *("--relations", folder / "sectors.parquet"),
        *("--config", folder / "small.toml"),
        *("--train-end", "2020-02-05", "--valid-end", "2020-02-20", "--epochs", "1"),
    ]


def test_a_trained_teacher_tells_how_it_came_to_be(folder: Path, teacher: Path) -> None:
    manifest = load_artifact(teacher).manifest
    assert manifest.role == "teacher"
    assert manifest.config["width"] == 8
    assert manifest.training["epochs"] == 1
    assert manifest.splits == {
        "train": ("2020-01-01", "2020-02-05"),
        "valid": ("2020-02-06", "2020-02-20"),
        "test": ("2020-02-21", "2020-02-29"),
    }
    assert set(manifest.data_sha256) == {"panel.parquet", "sectors.parquet"}
    assert manifest.command
    for part, windows in (("valid", 14), ("test", 8)):
        assert manifest.metrics[f"{part}_windows"] == windows
        interval = manifest.metrics[f"{part}_rank_ic"]
        assert -1 <= interval["low"] <= interval["mean"] <= interval["high"] <= 1


def test_a_student_is_distilled_scored_and_listed(folder: Path, teacher: Path) -> None:
    out = teacher.parent
    student = Path(run("distill", "--teacher", teacher.name, *panel_options(folder), "--out", out))
    manifest = load_artifact(student).manifest
    assert manifest.parent_id == teacher.name
    assert "valid_agreement" in manifest.metrics

    target = folder / "scores.parquet"
    run("score", "--model", student, "--data", folder / "panel.parquet", "--out", target)
    scores = pl.read_parquet(target)
    assert scores.columns == ["ts_close", "symbol", "score"]
    assert len(scores) == DAYS * SYMBOLS - 1
    assert scores["ts_close"].min() == int(np.datetime64("2020-01-02", "ns").astype(np.int64))
    assert scores["score"].is_finite().all()

    listed = json.loads(run("models", "list", "--folder", out, "--json"))
    assert [(row["id"], row["role"]) for row in listed] == [
        (student.name, "student"),
        (teacher.name, "teacher"),
    ]
    assert listed[0]["params"] < listed[1]["params"]
    assert student.name in run("models", "list", "--folder", out)


def test_labels_are_the_next_adjusted_returns(folder: Path) -> None:
    panel = PanelFile(str(folder / "panel.parquet"), folder / "sectors.parquet")
    run_ = panel.graph_run()
    labels = next_returns(run_)
    frame = pl.read_parquet(folder / "panel.parquet").filter(pl.col("symbol") == "S05")
    adjusted = frame["adjusted_close"].to_numpy()
    np.testing.assert_allclose(labels[:-1, 5], adjusted[1:] / adjusted[:-1] - 1, atol=1e-6)
    assert np.isnan(labels[-1]).all()
    assert np.isnan(labels[39:41, 3]).all()
    assert sorted(set(run_.sector.tolist())) == [0, 1, 2]
    present = continuously_present(run_.mask)
    assert present[16:, 5].all()
    assert not present[:16].any()
    assert not present[40:57, 3].any()


@pytest.mark.parametrize("model", ["student", "teacher"])
def test_no_row_after_a_day_changes_a_score_up_to_it(folder: Path, tmp_path: Path, model: str) -> None:
    frame = pl.read_parquet(folder / "panel.parquet")
    later = pl.col("date") > date(2020, 2, 10)
    noise = pl.Series("noise", np.random.default_rng(5).uniform(0.5, 2, len(frame)))
    prices = ("open", "high", "low", "close", "adjusted_close")
    frame = frame.with_columns(
        *(pl.when(later).then(pl.col(name) * noise).otherwise(pl.col(name)).alias(name) for name in prices),
        pl.when(later).then(pl.col("volume") * 3).otherwise(pl.col("volume")).alias("volume"),
    )
    frame.filter(~later | (noise > 0.8)).write_parquet(tmp_path / "changed.parquet")
    scores = []
    for data in (folder / "panel.parquet", tmp_path / "changed.parquet"):
        run("score", "--model", model, "--data", data, "--out", tmp_path / "scores.parquet")
        scores.append(pl.read_parquet(tmp_path / "scores.parquet"))
    stop = int(np.datetime64("2020-02-11", "ns").astype(np.int64))
    before, after = (s.filter(pl.col("ts_close") <= stop) for s in scores)
    assert len(before) == 41 * SYMBOLS - 1
    assert before.equals(after)
    assert not scores[0].equals(scores[1])


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"--data": "nowhere.parquet"}, ReplayError, "nowhere.parquet"),
        ({"--relations": "nowhere.parquet"}, ReplayError, "nowhere.parquet"),
        ({"--train-end": "2020-02-25"}, TrainingError, "before"),
        ({"--train-end": "2020-01-05"}, TrainingError, "windows"),
        ({"--config": "nowhere.toml"}, ConfigError, "nowhere.toml"),
        ({"--window": "soon"}, ReplayError, "soon"),
    ],
)
def test_bad_input_raises_an_error_of_the_packages(
    folder: Path, tmp_path: Path, change: dict[str, str], error: type[Exception], match: str
) -> None:
    options = panel_options(folder)
    arguments = dict(zip(map(str, options[::2]), map(str, options[1::2]), strict=True)) | change
    flat = [text for pair in arguments.items() for text in pair]
    with pytest.raises(error, match=match):
        run("train", "teacher", *flat, "--out", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["[model]\nwidth = 0", "[model]\nfoo = 1", "[other]", "[model", "[train]\nseed=-1"]
)
def test_a_bad_settings_file_is_refused(folder: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    options = panel_options(folder)
    options[options.index("--config") + 1] = tmp_path / "bad.toml"
    with pytest.raises(ModelError, match=r"bad\.toml"):
        run("train", "teacher", *options, "--out", tmp_path / "models")


def test_distilling_from_a_student_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a teacher"):
        run("distill", "--teacher", "student", *panel_options(folder), "--out", tmp_path)
