"""Numbers and times as people read them; shared by the page and the Markdown."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from topics.types import NANOS_PER_DAY

__all__ = [
    "bytes_text",
    "facts",
    "interval_text",
    "number",
    "p_text",
    "pair_rows",
    "summary_rows",
    "time_text",
]

NONE: Final = "\N{EN DASH}"
"""Stands where there is no number."""


def number(value: float | None, form: str = "+.4f") -> str:
    """Return a number, an en dash for none."""
    return NONE if value is None else format(value, form)


def interval_text(found: dict[str, Any], form: str = "+.4f") -> str:
    """Return "mean [lo, hi]" of {mean or diff, lo, hi}."""
    mean = found.get("mean", found.get("diff"))
    if mean is None:
        return NONE
    return f"{number(mean, form)} [{number(found['lo'], form)}, {number(found['hi'], form)}]"


def p_text(value: float) -> str:
    """Return a p-value; below a ten thousandth only that."""
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def bytes_text(n_bytes: int) -> str:
    """Return a size with its thousands marked."""
    return f"{n_bytes:,} B"


def time_text(ts_close_ns: int, size_ns: int) -> str:
    """Return when a window was: its day where windows are days or longer, else its end to the second, UTC."""
    if size_ns >= NANOS_PER_DAY:
        return str(np.datetime64(ts_close_ns - size_ns, "ns").astype("datetime64[D]"))
    return str(np.datetime64(ts_close_ns, "ns").astype("datetime64[s]")).replace("T", " ")


def summary_rows(comparison: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the heading and rows of the table of models and controls."""
    head = [
        "",
        "rank IC",
        "95 % CI",
        "IC",
        "rank ICIR",
        "within sectors",
        "direction",
        "long-short a year",
        "after costs",
        "turnover",
    ]
    named = {**comparison["models"], "reversal": comparison["controls"]["reversal"]}
    rows = []
    for name, found in named.items():
        rows.append(
            [
                f"{name} (control)" if name == "reversal" else name,
                number(found["RankIC"]),
                f"[{number(found['RankIC_lo'])}, {number(found['RankIC_hi'])}]",
                number(found["IC"]),
                number(found["RankICIR"], "+.3f"),
                number(found.get("RankIC_within")),
                number(found["DAcs"], ".4f"),
                number(found["LS_ann"], "+.1%"),
                number(found["LS_net"], "+.1%"),
                number(found["LS_turnover"], ".0%"),
            ]
        )
    equal = comparison["controls"]["equal_weight"]
    rows.append(["equal weight (control)", *[NONE] * 6, f"{equal['EW_ann']:+.1%} (long only)", NONE, NONE])
    return head, rows


def pair_rows(comparison: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the heading and rows of the table of paired statistics."""
    head = [
        "",
        "rank IC difference, 95 % CI",
        "equivalent",
        "TOST p",
        "Diebold-Mariano p",
        "share kept",
        "agreement",
        "top shared",
    ]
    rows = []
    for pair in comparison["pairs_of_models"]:
        equal, kept, fidelity = pair["equivalence"], pair["retention"], pair["fidelity"]
        share = NONE if kept["ratio"] is None or not kept["denominator_clear"] else f"{kept['ratio']:.3f}"
        rows.append(
            [
                f"{pair['a']} minus {pair['b']}",
                interval_text(pair["difference"]),
                f"within ±{equal['margin']:g}" if equal["equivalent"] else "not shown",
                p_text(equal["p_value"]),
                p_text(pair["diebold_mariano"]["rank_ic"]["p_value"]),
                share,
                f"{fidelity['spearman']:.4f}",
                f"{fidelity['top_overlap']:.1%}",
            ]
        )
    return head, rows


def facts(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a reader needs to get the numbers again, by name."""
    manifest = values["manifest"]
    size_ns = manifest["window_size_ns"]
    first, last = (time_text(manifest[end], size_ns) for end in ("first_ts_close", "last_ts_close"))
    settings = ", ".join(f"{name} {value:g}" for name, value in manifest["settings"].items())
    listed = [
        ("data", ", ".join(manifest["sources"])),
        ("", f"{manifest['windows']:,} windows, {first} to {last}, {manifest['instruments']:,} instruments"),
        ("data digest", manifest["data_digest"]),
        ("configuration", f"{manifest['config_hash']}, windows of {_duration(size_ns)}"),
        ("statistics", settings),
        ("software", f"cs3g {manifest['version'] or ''}, commit {manifest['commit'] or 'unknown'}"),
    ]
    if "prediction_digest" in manifest:
        listed.append(("predictions", manifest["prediction_digest"]))
    for name, model in values["models"].items():
        listed.append(
            (
                name,
                f"{model['model_id']} ({model['role']}), {model['parameters']:,} parameters, "
                f"{bytes_text(model['weights_bytes'])}, scores {model['scores_digest']}",
            )
        )
    return listed


def _duration(size_ns: int) -> str:
    for unit, name in (
        (NANOS_PER_DAY, "d"),
        (60_000_000_000, "min"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
    ):
        if size_ns % unit == 0:
            return f"{size_ns // unit:,} {name}"
    return f"{size_ns:,} ns"
