"""The report as Markdown, to paste into a pull request or a chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cs3g.ab.texts import facts, interval_text, pair_rows, summary_rows

__all__ = ["markdown"]


def markdown(values: dict[str, Any], latency: dict[str, Any]) -> str:
    """Return the text.

    Parameters
    ----------
    values
        Content of `ab.json`.
    latency
        As of `latency_values`; empty leaves the table out.
    """
    names = list(values["models"])
    lines = [f"# {' against '.join(names)} on replayed history", "", values["verdict"], ""]
    comparison = values["comparison"]
    if comparison is not None:
        lines += _table(*summary_rows(comparison))
        if comparison["pairs_of_models"]:
            lines += _table(*pair_rows(comparison))
        if "confidence_set" in comparison:
            found = comparison["confidence_set"]
            p_values = ", ".join(f"{name} {value:.3f}" for name, value in found["p_values"].items())
            kept = ", ".join(found["included"])
            lines += [
                f"Model confidence set at {100 * (1 - found['size']):g} %: {kept} (p-values: {p_values}).",
                "",
            ]
        for title, key in (("sector", "sectors"), ("regime", "regimes")):
            if comparison[key]:
                lines += _table(
                    [title, "windows", *(f"rank IC of {name}" for name in names)],
                    [
                        [
                            entry["name"],
                            f"{entry['windows']:,}",
                            *(interval_text(entry["models"][name]) for name in names),
                        ]
                        for entry in comparison[key]
                    ],
                )
    if latency:
        lines += _table(
            ["step of", "steps", "median, ms", "p90, ms", "p99, ms"],
            [
                [name, f"{one['steps']:,}", *(f"{one[f'p{p}_ms']:.3f}" for p in (50, 90, 99))]
                for name, one in latency.items()
            ],
        )
    lines += [f"- {name or 'windows'}: {_escaped(text)}" for name, text in facts(values)]
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    marks = ["---", *["---:"] * (len(head) - 1)]
    return [*(f"| {' | '.join(map(_escaped, row))} |" for row in (head, marks, *rows)), ""]


def _escaped(text: str) -> str:
    """Return text that makes neither a cell nor a tag of its own."""
    return text.replace("|", "\\|").replace("<", "&lt;")
