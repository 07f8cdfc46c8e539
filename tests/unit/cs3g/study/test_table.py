"""The study's report as Markdown, where what it reports is undefined or says nothing as well."""

from __future__ import annotations

from typing import Any

import pytest

from cs3g.study.table import markdown

PANEL = {
    "windows": 200,
    "instruments": 80,
    "names_a_window": 61.4,
    "history": 16,
    "price_limit": None,
    "equal_weight_ann": 0.1,
    "equal_weight_sharpe": 0.5,
}


def row(name: str, **changes: Any) -> dict[str, Any]:
    numbers = {"RankIC": 0.02, "RankIC_lo": 0.01, "RankIC_hi": 0.03, "RankIC_seed_std": 0.0}
    others = {"DAcs_cc": 0.01, "LS_sharpe": 1.0, "TD_net": -0.1, "seeds": 1, "comparable": True}
    return {"name": name, **numbers, **others, **changes}


def against(low: float, high: float, **ratio: Any) -> dict[str, Any]:
    return {
        "difference": {"diff": (low + high) / 2, "lo": low, "hi": high},
        "equivalence": {"equivalent": low > -0.005 and high < 0.005, "margin": 0.005, "p_value": 0.012},
        "retention": {"ratio": 0.98, "lo": 0.95, "hi": 1.01, "denominator_clear": True} | ratio,
        "fidelity": {"spearman": 0.99},
    }


def report(teacher: dict[str, Any], student: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "panel": PANEL,
        "rows": [teacher, student],
        "step_ms": {"teacher": 2.5},
        "warning": None,
    } | changes


def test_findings_say_what_the_intervals_allow() -> None:
    teacher = row("teacher", against_reversal=against(0.004, 0.02))
    text = markdown(report(teacher, row("student", against_teacher=against(-0.002, 0.001))))
    assert "The teacher's rank IC, 0.0200, is above zero (95 %: +0.0100 to +0.0300)." in text
    assert "one-window reversal, +0.0120, is above zero" in text
    assert "The student is equivalent to the teacher within ±0.005 (TOST, p = 0.012)." in text
    assert "0.9800 [0.9500, 1.0100]" in text


def test_a_teacher_that_found_nothing_is_said_to_have_found_nothing() -> None:
    teacher = row("teacher", RankIC_lo=-0.01, against_reversal=against(-0.03, -0.01))
    text = markdown(report(teacher, row("student", against_teacher=against(-0.02, 0.01))))
    assert "The teacher's rank IC, 0.0200, cannot be told from zero (95 %: -0.0100 to +0.0300)." in text
    assert "one-window reversal, -0.0200, is below zero" in text
    assert "The student is not shown to be equivalent" in text


@pytest.mark.parametrize(
    "ratio", [{"ratio": None, "lo": None}, {"lo": None, "hi": None}, {"denominator_clear": False}]
)
def test_a_ratio_that_says_nothing_is_undefined(ratio: dict[str, Any]) -> None:
    teacher = row("teacher", against_reversal=against(0.0, 0.1))
    text = markdown(report(teacher, row("student", against_teacher=against(-0.02, 0.01, **ratio))))
    (line,) = (line for line in text.splitlines() if line.startswith("| student |"))
    assert "| undefined |" in line


def test_a_warning_and_a_price_limit_stand_at_the_top() -> None:
    teacher = row("teacher", against_reversal=against(0.0, 0.1))
    student = row("student", against_teacher=against(0.0, 0.1))
    text = markdown(
        report(teacher, student, warning="only 2.0 of 60.0", panel=PANEL | {"price_limit": 0.098})
    )
    assert "with --history 16, not traded at ±9.8 %; equal weight" in text
    assert text.index("**Warning**: only 2.0 of 60.0.") < text.index("| model |")
    assert "Warning" not in markdown(report(teacher, student))
