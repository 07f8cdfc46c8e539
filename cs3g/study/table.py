"""A study's report as a table in Markdown."""

from __future__ import annotations

from typing import Any

from cs3g.study.plan import STUDENT, TEACHER

__all__ = ["markdown"]

_HEAD = (
    "| model | seeds | parameters | bytes | ms a step | validation | test rank IC | 95 % interval | minus teacher |"
    " ratio to teacher | minus reversal | agreement | direction | long-short Sharpe | dropout book net, a year |"
)


def markdown(report: dict[str, Any]) -> str:
    """Return the report's rows, and what they were made of.

    Parameters
    ----------
    report
        Of `judge_study`, with `step_ms` by model and the `warning`, text or None.
    """
    panel = report["panel"]
    limit = "" if panel["price_limit"] is None else f", not traded at ±{100 * panel['price_limit']:g} %"
    lines = [
        f"{panel['windows']:,} test windows of {panel['instruments']:,} instruments,"
        f" {panel['names_a_window']:.0f} of them a window with --history {panel['history']}{limit}; equal weight:"
        f" {100 * panel['equal_weight_ann']:.1f} % a year, Sharpe {panel['equal_weight_sharpe']:.2f}.",
        "",
        *([f"**Warning**: {report['warning']}.", ""] if report["warning"] else []),
        *_findings(report["rows"]),
        "",
        _HEAD,
        "|" + "---|" * (_HEAD.count("|") - 1),
    ]
    lines += [_row(row, report["step_ms"].get(row["name"])) for row in report["rows"]]
    return "\n".join(lines) + "\n"


def _findings(rows: list[dict[str, Any]]) -> list[str]:
    """Say what the intervals allow to be said of the teacher and of the student, as a list in Markdown."""
    found = {row["name"]: row for row in rows}
    teacher, student = found[TEACHER.name], found[STUDENT.name]
    reversal, kept = teacher["against_reversal"]["difference"], student["against_teacher"]["equivalence"]
    same = "equivalent" if kept["equivalent"] else "not shown to be equivalent"
    return [
        f"- The teacher's rank IC, {teacher['RankIC']:.4f}, {_side(teacher, 'RankIC_')}.",
        f"- Its distance to one-window reversal, {reversal['diff']:+.4f}, {_side(reversal, '')}.",
        f"- The student is {same} to the teacher within ±{kept['margin']:g} (TOST, p = {kept['p_value']:.2g}).",
    ]


def _side(limits: dict[str, float], prefix: str) -> str:
    low, high = limits[f"{prefix}lo"], limits[f"{prefix}hi"]
    if low > 0 or high < 0:
        return f"is {'above' if low > 0 else 'below'} zero (95 %: {low:+.4f} to {high:+.4f})"
    return f"cannot be told from zero (95 %: {low:+.4f} to {high:+.4f})"


def _row(row: dict[str, Any], step_ms: float | None) -> str:
    teacher, reversal = row.get("against_teacher"), row.get("against_reversal")
    spread = f" ± {row['RankIC_seed_std']:.4f}" if row["seeds"] > 1 else ""
    cells = [
        row["name"] + ("" if row["comparable"] else " (NOT COMPARABLE: scores are missing)"),
        str(row["seeds"]),
        f"{row['parameters']:,}" if "parameters" in row else "",
        f"{row['weights_bytes']:,}" if "weights_bytes" in row else "",
        "" if step_ms is None else f"{step_ms:.2f}",
        f"{row['valid_RankIC']:.4f}" if "valid_RankIC" in row else "",
        f"{row['RankIC']:.4f}{spread}",
        f"[{row['RankIC_lo']:.4f}, {row['RankIC_hi']:.4f}]",
        _difference(teacher),
        "" if teacher is None else _ratio(teacher["retention"]),
        _difference(reversal),
        "" if teacher is None else f"{teacher['fidelity']['spearman']:.3f}",
        f"{row['DAcs_cc']:.4f}",
        f"{row['LS_sharpe']:.2f}",
        f"{100 * row['TD_net']:.1f} %",
    ]
    return "| " + " | ".join(cells) + " |"


def _difference(comparison: dict[str, Any] | None) -> str:
    if comparison is None:
        return ""
    value = comparison["difference"]
    return f"{value['diff']:+.4f} [{value['lo']:+.4f}, {value['hi']:+.4f}]"


def _ratio(value: dict[str, Any]) -> str:
    """Return a ratio with its limits; what is divided by a mean that may be zero says nothing."""
    if value["ratio"] is None or value["lo"] is None or not value["denominator_clear"]:
        return "undefined"
    return f"{value['ratio']:.4f} [{value['lo']:.4f}, {value['hi']:.4f}]"
