"""`cs3g ab` on a small generated market: its files, equal bytes, a reviewed golden, and bad input in one line.

The golden is compared to nine digits: sums of floats differ in the last bits between machines, bytes only between
two runs on one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cs3g.ab.history import open_input, read_history
from cs3g_model.artifacts import save_artifact
from pipeline.graph_archive import write_graph_archive
from replay.generator.config import MarketConfig
from replay.generator.files import write_panel, write_sectors
from replay.generator.market import generate_market
from tests.integration.command_line import Run, check_line
from tests.unit.cs3g_model.factories import (
    SMALL_STUDENT,
    SMALL_TEACHER,
    student_module,
    teacher_module,
    tensors_of,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "ab.json"
REGENERATE = "CS3G_REGENERATE_GOLDEN"
WINDOWS, INSTRUMENTS = 70, 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated market, and models of random weights: two students and a teacher."""
    folder = tmp_path_factory.mktemp("ab")
    market = generate_market(MarketConfig(instruments=INSTRUMENTS, windows=WINDOWS, seed=5, sectors=2))
    write_panel(market, folder / "panel.parquet")
    write_sectors(market, folder / "sectors.parquet")
    for name, config, module in (
        ("student", SMALL_STUDENT, student_module()),
        ("other", SMALL_STUDENT, student_module(seed=1)),
        ("teacher", SMALL_TEACHER, teacher_module()),
    ):
        save_artifact(folder / name, config, tensors_of(module)).rename(folder / f"{name}-model")
    return folder


def options(folder: Path, *names: str) -> list[str]:
    a, b, *more = (str(folder / f"{name}-model") for name in names)
    listed = ["ab", "--a", a, "--b", b, *(word for one in more for word in ("--model", one))]
    data = ["--data", str(folder / "panel.parquet"), "--relations", str(folder / "sectors.parquet")]
    return [*listed, *data]


def read(out: Path) -> Any:
    return json.loads((out / "ab.json").read_text(), parse_constant=pytest.fail)


def test_two_runs_write_the_same_json_which_is_the_reviewed_one(
    folder: Path, tmp_path: Path, cs3g: Run
) -> None:
    for name in ("first", "second"):
        status, out, err = cs3g(*options(folder, "teacher", "student", "other"), "--out", tmp_path / name)
        assert (status, err) == (0, "")
        assert out.splitlines()[0] == read(tmp_path / name)["verdict"]
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == [
        "ab.html",
        "ab.json",
        "ab.md",
        "run.json",
    ]
    assert (tmp_path / "first" / "ab.json").read_bytes() == (tmp_path / "second" / "ab.json").read_bytes()
    found = read(tmp_path / "first")
    for value in ("version", "commit"):
        del found["manifest"][value]
    if REGENERATE in os.environ:
        GOLDEN.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    check_near(found, json.loads(GOLDEN.read_text()))


def check_near(found: Any, expected: Any, place: str = "ab.json") -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), place
        for name, value in expected.items():
            check_near(found[name], value, f"{place}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for i, value in enumerate(expected):
            check_near(found[i], value, f"{place}[{i}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9), place
    elif "digest" not in place.rsplit(".", 1)[-1] or "data" in place:
        # A teacher's last bits, and so its digest, are the machine's.
        assert found == expected, place


def test_an_archive_of_snapshots_gives_the_same_comparison(folder: Path, tmp_path: Path, cs3g: Run) -> None:
    given = open_input([str(folder / "panel.parquet")], relations=folder / "sectors.parquet")
    write_graph_archive(tmp_path / "archive", [read_history(given).snapshots])
    whole = options(folder, "student", "other")
    assert cs3g(*whole, "--out", tmp_path / "files")[0] == 0
    archived = [*whole[: whole.index("--data")], "--data", str(tmp_path / "archive")]
    assert cs3g(*archived, "--out", tmp_path / "again")[0] == 0
    here, there = read(tmp_path / "files"), read(tmp_path / "again")
    assert here["models"] == there["models"]
    for part in ("models", "pairs_of_models", "regimes", "series", "calibration"):
        assert here["comparison"][part] == there["comparison"][part]
    assert there["manifest"]["sources"] == ["archive"]
    run = cs3g(*archived, "--through-kafka", "--out", tmp_path / "refused")
    check_line(run, "--through-kafka does not go with", "archive of snapshots")
    assert not (tmp_path / "refused").exists()


def test_the_day_chooses_the_graph(folder: Path, tmp_path: Path, cs3g: Run) -> None:
    days = pl.read_parquet(folder / "panel.parquet")["date"].unique().sort()
    day = str(days[40])[:10]
    assert cs3g(*options(folder, "teacher", "student"), "--day", day, "--out", tmp_path)[0] == 0
    graph = read(tmp_path)["learned_graph"]
    assert graph["ts_close"] == read_window_close(day)
    assert len(graph["models"]) == 2
    run = cs3g(*options(folder, "teacher", "student"), "--day", "1999-01-01", "--out", tmp_path)
    check_line(run, "--day 1999-01-01", "no window opens on that day")


def read_window_close(day: str) -> int:
    return int(pl.Series([day]).str.to_date().cast(pl.Datetime("ns")).cast(pl.Int64)[0]) + 86_400_000_000_000


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (["--a", "nosuchmodel"], ["no model is called 'nosuchmodel'"]),
        (["--a", "{folder}/other-model"], ["are the same model", "compare it with another"]),
        (["--limit", 200], ["windows", "give more windows"]),
        (["--symbols", "NOSUCH"], ["no source holds the symbol(s) NOSUCH"]),
        (["--data", "nosuch.parquet"], ["nosuch.parquet", "no such file"]),
        (["--bootstrap-servers", "127.0.0.1:1"], ["--bootstrap-servers needs --through-kafka"]),
        (["--day", "tomorrow"], ["'tomorrow'", "must be like"]),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    changed: list[object], words: list[str], folder: Path, tmp_path: Path, cs3g: Run
) -> None:
    given = options(folder, "student", "other")
    name, value = str(changed[0]), str(changed[1]).format(folder=folder)
    if name in given:
        given[given.index(name) + 1] = value
    else:
        given += [name, value]
    check_line(cs3g(*given, "--out", tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()
