"""A panel from raw file to report, by the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def cs3g(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cs3g", *arguments], capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    size = ("--instruments", "24", "--windows", "120", "--seed", "1")
    made = cs3g("generate", "--out", str(folder), *size)
    assert made.returncode == 0, made.stderr
    return folder


def test_a_study_judges_every_model_beside_the_controls(market: Path, tmp_path: Path) -> None:
    splits = json.loads((market / "market.json").read_text())["splits"]
    ends = [splits[part]["last_date"] for part in ("train", "valid", "test")]
    arguments = ["--data", str(market / "panel.parquet"), "--relations", str(market / "sectors.parquet")]
    for name, end in zip(("train", "valid", "test"), ends, strict=True):
        arguments += [f"--{name}-end", end]
    oracle = f"oracle={market / 'oracle.parquet'}"
    done = cs3g("study", *arguments, "--budget-bytes", "0", "--anchor", oracle, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    rows = {row["name"]: row for row in report["rows"]}
    assert set(rows) == {
        "teacher",
        "student",
        "teacher, no graph",
        "student, no distillation",
        "oracle",
        "one-window reversal",
    }
    assert rows["oracle"]["RankIC"] > 0.4
    assert rows["teacher"]["parameters"] > 5 * rows["student"]["parameters"]
    assert set(report["step_ms"]) == set(rows) - {"oracle", "one-window reversal"}
    assert rows["student"]["against_teacher"]["fidelity"]["spearman"] > 0
    text = (tmp_path / "report.md").read_text()
    assert all(f"| {name} |" in text for name in rows)


def study_of(market: Path, folder: Path, *more: str, **ends: str) -> subprocess.CompletedProcess[str]:
    splits = json.loads((market / "market.json").read_text())["splits"]
    dates = {part: splits[part]["last_date"] for part in ("train", "valid", "test")} | ends
    options = [text for part, day in dates.items() for text in (f"--{part}-end", day)]
    return cs3g("study", "--data", str(market / "panel.parquet"), *options, "--out", str(folder), *more)


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("cs3g: error: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def test_a_failed_fit_ends_the_study_with_its_own_words(market: Path, tmp_path: Path) -> None:
    refused(study_of(market, tmp_path, train="1990-01-01"), "1990-01-01", "training needs")
    assert not (tmp_path / "report.json").exists()


@pytest.mark.parametrize("mistake", ["no test day", "anchor"])
def test_what_cannot_be_judged_is_refused_before_anything_is_fitted(
    market: Path, tmp_path: Path, mistake: str
) -> None:
    if mistake == "anchor":
        result = study_of(market, tmp_path, "--anchor", f"rule={tmp_path / 'absent.parquet'}")
        refused(result, "absent.parquet: no such file")
    else:
        splits = json.loads((market / "market.json").read_text())["splits"]
        days = {"valid": splits["test"]["last_date"], "test": "2090-01-01"}
        refused(study_of(market, tmp_path, **days), "--test-end 2090-01-01", "of a panel from")
    assert not (tmp_path / "logs").exists()
