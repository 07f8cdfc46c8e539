"""Runs summed up by recipe."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.ablations.runs import Run
from benchmarks.ablations.table import markdown, summarize
from cs3g_model.metrics import bootstrap_mean

G = np.random.default_rng(0)
TEACHER = {"valid_rank_ic": G.normal(0.03, 0.1, 80)}


def run(recipe: str, seed: int, gain: float) -> Run:
    noise = np.random.default_rng(seed + len(recipe)).normal(0, 0.02, 80)
    series = {
        "valid_rank_ic": TEACHER["valid_rank_ic"] + gain + noise,
        "valid_agreement": np.full(80, 0.9 + 0.02 * seed),
    }
    return Run(recipe, seed, f"id-{recipe}-{seed}", 10.0 + seed, [], series)


RUNS = [run("plain", 0, -0.02), run("plain", 1, -0.02), run("hint", 0, 0.0), run("hint", 1, 0.01)]


def test_recipes_are_compared_with_the_teacher_and_the_first() -> None:
    report = summarize(RUNS, TEACHER, ["valid"])
    plain, hint = report["recipes"]
    assert report["teacher"]["valid"]["windows"] == 80
    averages = [np.mean([r.series["valid_rank_ic"] for r in pair], axis=0) for pair in (RUNS[:2], RUNS[2:])]
    for row, average in ((plain, averages[0]), (hint, averages[1])):
        expected = bootstrap_mean(average - TEACHER["valid_rank_ic"])
        assert row["valid"]["minus_teacher"] == {
            "mean": expected.mean,
            "low": expected.low,
            "high": expected.high,
        }
        assert row["valid"]["rank_ic"]["mean"] == pytest.approx(average.mean())
        assert row["valid"]["agreement"] == pytest.approx(0.91)
        assert row["seconds"] == 10.5
    assert "minus_first" not in plain["valid"]
    expected = bootstrap_mean(averages[1] - averages[0])
    assert hint["valid"]["minus_first"]["mean"] == pytest.approx(expected.mean)
    assert hint["valid"]["minus_first"]["low"] > 0
    by_seed = [r.series["valid_rank_ic"].mean() for r in RUNS[2:]]
    assert hint["valid"]["rank_ic_by_seed"] == pytest.approx(by_seed)
    assert hint["valid"]["rank_ic_std"] == pytest.approx(np.std(by_seed, ddof=1))
    assert [r["model_id"] for r in hint["runs"]] == ["id-hint-0", "id-hint-1"]


def test_one_seed_has_no_spread() -> None:
    report = summarize(RUNS[::2], TEACHER, ["valid"])
    assert report["recipes"][0]["valid"]["rank_ic_std"] is None


def test_the_page_holds_a_row_for_each_recipe() -> None:
    about = {
        "panel": {"name": "sp500"},
        "command": "python -m benchmarks.ablations",
        "commit": "abc",
        "seeds": [0, 1],
        "machine": "2 CPUs",
        "teacher_id": "feed",
    }
    report = about | summarize(RUNS, TEACHER, ["valid"])
    page = markdown(report)
    rows = [line for line in page.splitlines() if line.startswith(("| plain", "| hint"))]
    assert len(rows) == 2
    judged = report["recipes"][1]["valid"]
    assert f"{judged['rank_ic']['mean']:.4f} ± {judged['rank_ic_std']:.4f}" in rows[1]
    assert f"{judged['minus_first']['mean']:+.4f} [" in rows[1]
    assert rows[1].count("|") == 7
    assert "## Valid: 80 windows, teacher feed" in page
