"""`cs3g evaluate` on a small generated panel: parts, seeds, comparisons, and what it refuses."""

from __future__ import annotations

import json
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from cs3g_model.evaluation.calendar import DAY_NS
from tests.integration.command_line import Run, check_line

DAYS, SYMBOLS = 90, 30
FIRST = date(2020, 1, 1)


@pytest.fixture
def evaluate(cs3g: Run) -> Run:
    return partial(cs3g, "evaluate")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    g = np.random.default_rng(0)
    returns = 0.02 * g.standard_normal((DAYS, SYMBOLS))
    close = 100 * np.exp(np.cumsum(returns, axis=0))
    t, n = (index.ravel() for index in np.indices(close.shape))
    rows = {
        "date": pl.Series([FIRST + timedelta(days=int(day)) for day in t]),
        "symbol": [f"S{i:02d}" for i in n],
    }
    panel = pl.DataFrame({**rows, "close": close[t, n], "volume": [100] * len(t)})
    panel.write_parquet(folder / "panel.parquet")
    ahead = np.vstack([returns[1:], np.zeros((1, SYMBOLS))])
    for seed in range(2):
        for name, skill in (("student", 0.5), ("teacher", 0.6), ("noise", 0.0)):
            scores = skill * ahead / 0.02 + np.random.default_rng(seed).standard_normal(close.shape)
            table = pl.DataFrame({**rows, "score": scores[t, n]})
            table.write_parquet(folder / f"{name}_s{seed}.parquet")
    closes = table.select(
        ts_close=pl.col("date").cast(pl.Int64) * DAY_NS + DAY_NS, symbol="symbol", score="score"
    )
    closes.write_csv(folder / "closes.csv")
    pl.DataFrame({"symbol": [f"S{i:02d}" for i in range(SYMBOLS)], "sector": ["A", "B", "C"] * 10}).write_csv(
        folder / "sectors.csv"
    )
    return folder


def report_of(run: tuple[int, str, str]) -> dict[str, Any]:
    status, out, err = run
    assert status == 0, err
    report: dict[str, Any] = json.loads(out)
    return report


def test_seeds_and_two_other_models(evaluate: Run, folder: Path, tmp_path: Path) -> None:
    names = {
        name: [folder / f"{name}_s{seed}.parquet" for seed in range(2)] for name in ("student", "teacher")
    }
    status, out, err = evaluate(
        *names["student"],
        *("--vs", *names["teacher"]),
        *("--vs", folder / "noise_s0.parquet"),
        *("--data", folder / "panel.parquet", "--relations", folder / "sectors.csv"),
        *("--json", tmp_path / "new" / "report.json"),
    )
    assert status == 0, err
    report = json.loads((tmp_path / "new" / "report.json").read_text())
    assert report["name"] == "student"
    assert report["n"] == 2
    assert [one["name"] for one in report["comparisons"]] == ["teacher", "noise_s0"]
    assert [one["n"] for one in report["comparisons"]] == [2, 1]
    assert len(report["files"]) == 5
    assert report["panel"]["windows_a_year"] == 365
    assert report["panel"]["min_names"] == SYMBOLS // 2
    assert len(report["panel"]["starts_ns"]) == report["mean"]["days"] == DAYS - 17
    assert report["mean"]["RankIC"] > 0.3
    assert report["mean"]["RankIC_within"] > 0.3
    assert "noise_s0" not in report["confidence_set"]["included"]
    assert report["comparisons"][0]["retention"]["ratio"] < 1
    for words in (
        "rank IC",
        "student, 2 files",
        "student against teacher",
        "student against noise_s0",
        "Model conf",
    ):
        assert words in out
    assert f"{report['mean']['RankIC']:.4f}" in out
    assert "NOT COMPARABLE" not in out


def test_closes_in_ns_are_the_same_scores(evaluate: Run, folder: Path) -> None:
    data = ("--data", folder / "panel.parquet", "--json", "-")
    by_date = report_of(evaluate(folder / "noise_s1.parquet", *data))
    by_close = report_of(evaluate(folder / "closes.csv", *data))
    assert by_close["ric_daily"] == by_date["ric_daily"]


@pytest.mark.parametrize(
    ("options", "first", "last", "windows"),
    [
        ((), 16, 88, 73),
        (("--from", "2020-02-01", "--to", "2020-02-20"), 31, 49, 19),
        (("--part", "train", "--train-end", "2020-01-31"), 16, 29, 14),
        (("--part", "valid", "--train-end", "2020-01-31", "--valid-end", "2020-02-20"), 31, 49, 19),
        (("--train-end", "2020-01-31", "--valid-end", "2020-02-20"), 51, 88, 38),
        (("--valid-end", "2020-02-20", "--test-end", "2020-03-01"), 51, 59, 9),
        (("--test-start", "2020-02-25", "--test-end", "2020-03-01"), 55, 59, 5),
        (("--from", "2020-02-01", "--to", "2020-02-20", "--horizon", "5"), 31, 45, 15),
        (("--from", "2020-01-01", "--history", "3"), 3, 88, 86),
    ],
)  # fmt: skip
def test_parts_are_cut_by_their_dates(
    evaluate: Run, folder: Path, options: tuple[str, ...], first: int, last: int, windows: int
) -> None:
    report = report_of(
        evaluate(folder / "student_s0.parquet", "--data", folder / "panel.parquet", *options, "--json", "-")
    )
    start = (FIRST - date(1970, 1, 1)).days * DAY_NS
    assert report["mean"]["days"] == windows
    assert report["panel"]["first_ns"] == start + first * DAY_NS
    assert report["panel"]["last_ns"] == start + last * DAY_NS


def test_missing_scores_are_said(evaluate: Run, folder: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(folder / "student_s0.parquet")
    score = pl.when(pl.col("symbol") == "S03").then(float("nan")).otherwise(pl.col("score"))
    frame.with_columns(score=score).write_parquet(tmp_path / "holes.parquet")
    status, out, _ = evaluate(tmp_path / "holes.parquet", "--data", folder / "panel.parquet")
    assert status == 0
    assert "NOT COMPARABLE" in out
    assert f"{DAYS} scores are not finite" in out
    assert "nan" not in out.lower()


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        (("nowhere.parquet",), ("nowhere.parquet: no such file",), 1),
        (("panel.parquet",), ("panel.parquet: no column score",), 1),
        (("student_s0.parquet", "--vs", "panel.parquet"), ("panel.parquet: no column score",), 1),
        (("student_s0.parquet", "--from", "2031-01-01"), ("no window can be judged", "of 0 windows"), 1),
        (("student_s0.parquet", "--to", "2020-01-10"), ("no window can be judged", "17 windows"), 1),
        (("student_s0.parquet", "--min-names", "31"), ("31 instruments",), 1),
        (("student_s0.parquet", "--margin", "0", "--vs", "noise_s0.parquet"), ("margin", "> 0"), 1),
        (("student_s0.parquet", "--relations", "panel.parquet"), ("panel.parquet", "sector"), 1),
        (("student_s0.parquet", "--horizon", "2"), ("--horizon", "'2'"), 2),
        (("student_s0.parquet", "--part", "valid"), ("--train-end", "--valid-end"), 2),
        (("student_s0.parquet", "--train-end", "2020-02-01"), ("--valid-end or --test-start",), 2),
        (("student_s0.parquet", "--from", "2020-02-01", "--valid-end", "2020-02-01"), ("not both",), 2),
        (("student_s0.parquet", "--from", "2020-02-02", "--to", "2020-02-01"), ("before it starts",), 2),
        ((), ("PRED",), 2),
        (("--vs", "student_s0.parquet"), ("PRED",), 2),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    evaluate: Run,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: tuple[str, ...],
    status: int,
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    found, out, err = evaluate(*arguments, "--data", "panel.parquet", "--json", "report.json")
    check_line((found, out, err), *words, status=status)
    assert out == ""
    assert sorted(folder.iterdir()) == before


def test_two_scores_of_one_cell_are_refused(evaluate: Run, folder: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(folder / "student_s0.parquet")
    pl.concat([frame, frame[5:6]]).write_parquet(tmp_path / "twice.parquet")
    status, _, err = evaluate(tmp_path / "twice.parquet", "--data", folder / "panel.parquet")
    assert status == 1
    assert f"row {DAYS * SYMBOLS + 1}: `symbol` (=S05) has this window already" in err


def test_a_panel_of_one_instrument_has_no_cross_section(evaluate: Run, folder: Path, tmp_path: Path) -> None:
    panel = pl.read_parquet(folder / "panel.parquet").filter(pl.col("symbol") == "S00")
    panel.write_parquet(tmp_path / "one.parquet")
    status, _, err = evaluate(folder / "student_s0.parquet", "--data", tmp_path / "one.parquet")
    assert status == 1
    assert "it takes two" in err


def test_constant_prices_are_judged_and_nothing_is_nan(evaluate: Run, folder: Path, tmp_path: Path) -> None:
    panel = pl.read_parquet(folder / "panel.parquet").with_columns(close=pl.lit(10.0))
    panel.write_parquet(tmp_path / "flat.parquet")
    report = report_of(
        evaluate(
            *(folder / "student_s0.parquet", "--vs", folder / "noise_s0.parquet"),
            *("--data", tmp_path / "flat.parquet", "--json", "-"),
        )
    )
    assert report["mean"]["RankIC"] == 0
    assert report["mean"]["DAcs"] == 0.5
    assert report["mean"]["EW_ann"] == 0
    assert report["comparisons"][0]["retention"]["ratio"] is None
