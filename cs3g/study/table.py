"""A study's report as a table in Markdown."""

from __future__ import annotations

from typing import Any

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
        Of `judge_study`, with `step_ms` by model and the `study`.
    """
    panel = report["panel"]
    lines = [
        f"{panel['windows']:,} test windows of {panel['instruments']:,} instruments,"
        f" {panel['names_a_window']:.0f} of them a window with --history {panel['history']}; equal weight:"
        f" {100 * panel['equal_weight_ann']:.1f} % a year, Sharpe {panel['equal_weight_sharpe']:.2f}.",
        "",
        _HEAD,
        "|" + "---|" * (_HEAD.count("|") - 1),
    ]
    lines += [_row(row, report["step_ms"].get(row["name"])) for row in report["rows"]]
    return "\n".join(lines) + "\n"


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
        "" if teacher is None else _interval(teacher["retention"], "ratio"),
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
    return _interval(comparison["difference"], "diff")


def _interval(value: dict[str, float], name: str) -> str:
    if value[name] is None:
        return "undefined"
    sign = "+" if name == "diff" else ""
    return f"{value[name]:{sign}.4f} [{value['lo']:{sign}.4f}, {value['hi']:{sign}.4f}]"
