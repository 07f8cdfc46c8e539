"""The whole report on a market whose next return is partly known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from cs3g_model.errors import EvaluationError
from cs3g_model.evaluation.panel import CrossSections, cross_sections
from cs3g_model.evaluation.report import Settings, evaluate
from tests.unit.cs3g_model.evaluation.factories import make_panel

PANEL = make_panel(T=260, N=40)
SECTIONS = cross_sections(PANEL)


def make_scores(skill: float, seed: int) -> np.ndarray:
    """Return scores that know the label, of which noise leaves about `skill`."""
    noise = np.random.default_rng(seed).standard_normal(PANEL.prices.shape)
    return skill * np.nan_to_num(PANEL.labels()) / 0.02 + noise


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    student = make_scores(0.5, 1)
    # The second model is the first with a little noise, the third is noise alone.
    teachers = [student + 0.1 * make_scores(0, seed) for seed in (2, 3)]
    models = [("student", [student]), ("teacher", teachers), ("noise", [make_scores(0, 4)])]
    return evaluate(models, SECTIONS, groups=np.arange(40) % 4)


def test_the_first_models_numbers_are_its_own(report: dict[str, Any]) -> None:
    assert report["name"] == "student"
    assert report["n"] == 1
    assert report["comparable"]
    assert len(report["ric_daily"]) == len(SECTIONS.windows)
    assert report["mean"]["RankIC"] == pytest.approx(np.mean(report["ric_daily"]))
    assert report["mean"]["RankIC_lo"] > 0.3
    assert report["mean"]["RankIC_within"] == pytest.approx(report["mean"]["RankIC"], abs=0.05)
    assert set(report["std"].values()) == {0.0}


def test_a_near_copy_is_equivalent_and_faithful(report: dict[str, Any]) -> None:
    teacher = report["comparisons"][0]
    assert teacher["n"] == 2
    assert report["vs"] == teacher["difference"]
    expected = np.mean(report["ric_daily"]) - np.mean(teacher["ric_daily"])
    assert teacher["difference"]["diff"] == pytest.approx(expected)
    assert teacher["equivalence"]["equivalent"]
    retention = teacher["retention"]
    assert retention["ratio"] == pytest.approx(report["mean"]["RankIC"] / teacher["mean"]["RankIC"])
    assert 0.98 < retention["lo"] < retention["ratio"] < retention["hi"] < 1.02
    assert retention["denominator_clear"]
    assert teacher["fidelity"]["spearman"] > 0.98
    assert teacher["fidelity"]["top_overlap"] > 0.85
    direction = teacher["direction_ratio"]
    assert direction["ratio"] == pytest.approx(report["mean"]["DAcs_cc"] / teacher["mean"]["DAcs_cc"])
    net = teacher["net_ir_ratio"]["TD"]
    assert net["numerator"] * np.sqrt(SECTIONS.windows_a_year) == pytest.approx(report["mean"]["TD_net_IR"])


def test_noise_is_told_apart(report: dict[str, Any]) -> None:
    noise = report["comparisons"][1]
    assert noise["difference"]["lo"] > 0.3
    assert not noise["equivalence"]["equivalent"]
    assert noise["diebold_mariano"]["rank_ic"]["statistic"] < -10
    assert noise["diebold_mariano"]["ic"]["p_value"] < 1e-10
    assert noise["fidelity"]["spearman"] == pytest.approx(0, abs=0.05)
    assert "noise" not in report["confidence_set"]["included"]
    assert {"student", "teacher"} & set(report["confidence_set"]["included"])


def test_the_report_is_plain_and_the_same_every_time(report: dict[str, Any]) -> None:
    text = json.dumps(report, allow_nan=False)
    student = make_scores(0.5, 1)
    teachers = [student + 0.1 * make_scores(0, seed) for seed in (2, 3)]
    models = [("student", [student]), ("teacher", teachers), ("noise", [make_scores(0, 4)])]
    assert json.dumps(evaluate(models, SECTIONS, groups=np.arange(40) % 4), allow_nan=False) == text


def test_the_spread_of_seeds_and_the_limits_of_their_average() -> None:
    seeds = [make_scores(0.2, seed) for seed in range(3)]
    report = evaluate([("model", seeds)], SECTIONS)
    values = [row["RankIC"] for row in report["per_file"]]
    assert report["mean"]["RankIC"] == pytest.approx(np.mean(values))
    assert report["std"]["RankIC"] == pytest.approx(np.std(values, ddof=1))
    width = report["mean"]["RankIC_hi"] - report["mean"]["RankIC_lo"]
    assert width < min(row["RankIC_hi"] - row["RankIC_lo"] for row in report["per_file"])
    assert report["comparisons"] == []
    assert "confidence_set" not in report


def test_missing_scores_make_a_file_incomparable() -> None:
    scores = make_scores(0.5, 1)
    scores[::2, ::3] = np.nan
    report = evaluate([("holes", [scores])], SECTIONS)
    assert not report["comparable"]
    assert report["mean"]["coverage"] == pytest.approx(1 - 14 / 40 / 2, abs=0.01)


@pytest.mark.parametrize("horizon", [5, 101])
def test_other_horizons(horizon: int) -> None:
    sections = cross_sections(PANEL, horizon=horizon)  # type: ignore[arg-type]
    scores = np.nan_to_num(PANEL.labels(horizon))  # type: ignore[arg-type]
    report = evaluate([("oracle", [scores]), ("noise", [make_scores(0, 5)])], sections)
    assert report["mean"]["RankIC"] == pytest.approx(1)
    assert report["comparisons"][0]["diebold_mariano"]["rank_ic"]["bandwidth"] >= (4 if horizon == 5 else 0)


@pytest.mark.parametrize(
    "models",
    [[], [("a", [])], [("a", [make_scores(0, 0)]), ("a", [make_scores(0, 1)])]],
    ids=["none", "bare", "twice"],
)
def test_models_need_names_and_scores(models: list[Any]) -> None:
    with pytest.raises(EvaluationError, match="models"):
        evaluate(models, SECTIONS)


def test_constant_scores_are_judged_as_no_opinion() -> None:
    sections: CrossSections = SECTIONS
    flat = np.ones(PANEL.prices.shape)
    report = evaluate(
        [("flat", [flat]), ("flat too", [flat]), ("skill", [make_scores(0.5, 1)])], sections, Settings()
    )
    assert report["mean"]["RankIC"] == 0
    assert report["mean"]["DAcs_cc"] == 0
    assert report["comparisons"][0]["retention"]["ratio"] is None
    json.dumps(report, allow_nan=False)
