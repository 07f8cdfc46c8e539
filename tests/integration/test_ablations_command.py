"""`python -m benchmarks.ablations` on a small generated market."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.ablations.__main__ import main
from cs3g.commands import train
from cs3g_model.artifacts import load_artifact
from replay.generator.config import MarketConfig
from replay.generator.files import write_panel, write_sectors
from replay.generator.market import generate_market

app = typer.Typer()
app.add_typer(train.app, name="train")

CUTS = ("--train-end", "2015-03-27", "--valid-end", "2015-04-17")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablations")
    market = generate_market(MarketConfig(instruments=12, windows=90))
    write_panel(market, folder / "panel.parquet")
    write_sectors(market, folder / "sectors.parquet")
    (folder / "small.toml").write_text("[model]\nwidth = 8\n[train]\nchunk = 8\nepochs = 1\n")
    return folder


def panel_options(folder: Path) -> list[str]:
    return ["--data", str(folder / "panel.parquet"), "--relations", str(folder / "sectors.parquet"), *CUTS]


@pytest.fixture(scope="module")
def teacher(folder: Path) -> str:
    settings = ("--config", str(folder / "small.toml"), "--out", str(folder / "models"))
    result = CliRunner().invoke(app, ["train", "teacher", *panel_options(folder), *settings])
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def ablate(folder: Path, teacher: str, out: Path, *more: str) -> int:
    settings = ["--teacher", teacher, "--config", str(folder / "small.toml"), "--out", str(out)]
    return main([*panel_options(folder), *settings, *more])


def test_a_student_is_judged_for_every_recipe_and_seed(folder: Path, teacher: str, tmp_path: Path) -> None:
    more = ("--recipes", "plain,mixing,labels", "--seeds", "0,1", "--name", "market")
    assert ablate(folder, teacher, tmp_path, *more) == 0
    report = json.loads((tmp_path / "market.json").read_text())
    assert [row["recipe"] for row in report["recipes"]] == ["plain", "mixing", "labels"]
    assert report["teacher_id"] == Path(teacher).name
    for row in report["recipes"]:
        assert "test" not in row
        assert set(row["valid"]) - {"minus_first"} == {
            *("rank_ic", "rank_ic_by_seed", "rank_ic_std", "agreement", "minus_teacher")
        }
        for seed, run in enumerate(row["runs"]):
            manifest = load_artifact(tmp_path / "market" / "models" / run["model_id"]).manifest
            assert manifest.seed == run["seed"] == seed
            assert manifest.training["recipe"]["description"] == row["description"]
    page = (tmp_path / "market.md").read_text()
    assert "## Valid" in page
    assert "## Test" not in page


def test_it_goes_on_where_it_stopped_and_then_looks_at_the_test(
    folder: Path, teacher: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablate(folder, teacher, tmp_path, "--recipes", "plain", "--seeds", "3") == 0
    (run,) = (tmp_path / "panel" / "runs").iterdir()
    written = run.stat().st_mtime_ns
    first = json.loads((tmp_path / "panel.json").read_text())
    more = ("--recipes", "plain,soft.toml", "--seeds", "3", "--test-end", "2015-05-01")
    assert ablate(folder, teacher, tmp_path, *more, "--test") == 1
    assert "soft.toml" in capsys.readouterr().err
    assert ablate(folder, teacher, tmp_path, "--recipes", "plain", "--seeds", "3", *more[4:], "--test") == 0
    assert run.stat().st_mtime_ns == written  # no student was distilled again
    report = json.loads((tmp_path / "panel.json").read_text())
    assert report["recipes"][0]["valid"] == first["recipes"][0]["valid"]
    assert report["teacher"]["test"]["windows"] == 9
    assert "## Test: 9 windows" in (tmp_path / "panel.md").read_text()


def test_several_panels_and_workers_give_the_same_numbers(folder: Path, teacher: str, tmp_path: Path) -> None:
    fields = {
        "teacher": f'"{teacher}"',
        "data": f'"{folder / "panel.parquet"}"',
        "relations": f'"{folder / "sectors.parquet"}"',
        "train_end": CUTS[1],
        "valid_end": CUTS[3],
    }
    lines = "\n".join(f"{name} = {value}" for name, value in fields.items())
    (tmp_path / "panels.toml").write_text("".join(f'[[panels]]\nname = "{n}"\n{lines}\n' for n in ("a", "b")))
    shared = ["--config", str(folder / "small.toml"), "--recipes", "plain", "--seeds", "0,1"]
    assert (
        main(["--panels", str(tmp_path / "panels.toml"), *shared, "--workers", "2", "--out", str(tmp_path)])
        == 0
    )
    assert ablate(folder, teacher, tmp_path, "--recipes", "plain", "--seeds", "0,1", "--name", "one") == 0
    reports = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("a", "b", "one")]
    for report in reports:
        assert report["recipes"][0]["valid"] == reports[0]["recipes"][0]["valid"]
        ids = [run["model_id"] for run in report["recipes"][0]["runs"]]
        assert ids == [run["model_id"] for run in reports[0]["recipes"][0]["runs"]]


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (("--recipes", "defualt"), "defualt"),
        (("--seeds", "1,1"), "seed"),
        (("--test",), "test_end"),
        (("--panels", "panels.toml"), "exclude"),
        (("--teacher", "nobody"), "nobody"),
        (("--data", "nowhere.parquet"), "nowhere.parquet"),
    ],
)
def test_mistakes_are_told_in_a_line(
    more: tuple[str, ...],
    match: str,
    folder: Path,
    teacher: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ablate(folder, teacher, tmp_path, *more) == 1
    assert re.search(match, capsys.readouterr().err)


def test_a_student_is_no_teacher(
    folder: Path, teacher: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablate(folder, teacher, tmp_path, "--recipes", "labels", "--seeds", "0") == 0
    (student,) = (tmp_path / "panel" / "models").iterdir()
    assert ablate(folder, str(student), tmp_path, "--recipes", "labels") == 1
    assert "not a teacher" in capsys.readouterr().err
