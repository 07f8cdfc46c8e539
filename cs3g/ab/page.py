"""The report as one HTML page: no script, nothing fetched, readable in light and dark; values on pointing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cs3g.ab.comparison import REVERSAL, Comparison
from cs3g.ab.graph_plots import heat_map, node_link
from cs3g.ab.plots import (
    SMOOTHING_WINDOWS,
    agreement_chart,
    book_chart,
    cumulative_chart,
    rank_ic_charts,
    series_kind,
)
from cs3g.ab.static_plots import calibration_chart, forest_chart, latency_chart, size_chart
from cs3g.ab.style import STYLE
from cs3g.ab.svg import escape
from cs3g.ab.texts import facts, pair_rows, summary_rows, time_text

__all__ = ["page"]


def page(values: dict[str, Any], found: Comparison | None, latency: dict[str, Any]) -> str:
    """Return the page.

    Parameters
    ----------
    values
        Content of `ab.json`.
    found
        The series behind the plots; None where nothing could be compared.
    latency
        As of `latency_values`; empty leaves the section out.
    """
    names = tuple(values["models"])
    sections = [] if found is None else _sections(values, found)
    if values["learned_graph"] is not None and values["learned_graph"]["models"]:
        sections.append(_graph(values["learned_graph"], values["manifest"]["window_size_ns"]))
    if latency:
        sections.append(_latency(latency, names))
    if len(names) > 1:
        sections.append(_section("Size of the weights", "", size_chart(values["models"])))
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts(values))
    title = " against ".join(names)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>cs3g: {escape(title)} on replayed history</title>
<style>{STYLE}</style></head><body>
<h1>{escape(title[:1].upper() + title[1:])} on replayed history</h1>
<p class="verdict">{escape(values["verdict"])}</p>
{"".join(sections)}
<h2>What was compared, and by what</h2><dl>{listed}</dl>
</body></html>
"""


def _sections(values: dict[str, Any], found: Comparison) -> list[str]:
    names, size_ns, comparison = found.names, values["manifest"]["window_size_ns"], values["comparison"]
    head, rows = summary_rows(comparison)
    first, last = (time_text(comparison[end], size_ns) for end in ("first_ts_close", "last_ts_close"))
    sections = [
        _section(
            "Summary",
            f"{comparison['windows']:,} windows from {first} to {last}, {comparison['instruments']:,} instruments, "
            f"{comparison['pairs']:,} scores with a return. Rank IC is Spearman's correlation of scores and the next "
            "window's returns; its limits are those of the stationary bootstrap. Costs: 5 bp on buys, 15 bp on sells.",
            _table(head, rows),
        )
    ]
    if comparison["pairs_of_models"]:
        sections.append(
            _section(
                "Model against model",
                "Paired by window: what both have in common cancels.",
                _table(*pair_rows(comparison)) + _confidence_set(comparison),
            )
        )
    models_and_reversal = [*((name, series_kind(names, name)) for name in names), (REVERSAL, "c")]
    sections.append(
        _section(
            "Cumulative rank IC",
            "The running sum of each window's rank IC: a steady slope is a steady edge, a flat stretch is none. "
            "Reversal scores by minus the last return.",
            _legend(models_and_reversal) + cumulative_chart(found, size_ns),
        )
    )
    charts = "".join(f"<h3>{escape(title)}</h3>{chart}" for title, chart in rank_ic_charts(found, size_ns))
    sections.append(
        _section(
            "Rank IC by window",
            f"Mean of the last {SMOOTHING_WINDOWS} windows, with a band of 1.96 standard errors.",
            charts,
        )
    )
    if found.agreement:
        a, b = names[:2]
        sections.append(
            _section(
                "Rank agreement over time",
                f"Rank correlation of the scores of {a} and {b} in each window (faint), and the mean of the last "
                f"{SMOOTHING_WINDOWS}; no return enters.",
                agreement_chart(found, size_ns),
            )
        )
    sections.append(
        _section(
            "Calibration",
            "Mean return in the next window less the window's mean, basis points, by class of score, with 95 % limits. "
            "It should rise from left to right.",
            _legend(models_and_reversal[:-1]) + calibration_chart(comparison["calibration"]),
        )
    )
    lines = [
        *((f"{name}, after costs", series_kind(names, name)) for name in names),
        *((f"{name}, before costs", f"{series_kind(names, name)} thin") for name in names),
        ("equal weight, long only", "c"),
    ]
    sections.append(
        _section(
            "Long-short book",
            "The highest scores against the lowest, at most 50 on a side, remade every window; sums of returns, not "
            "compounded. Every window's trades are paid for in full, so the lines' distance is what turnover costs.",
            _legend(lines) + book_chart(found, size_ns),
        )
    )
    parts = [
        _part("By sector", comparison["sectors"], names),
        _part("By regime of the market", comparison["regimes"], names),
    ]
    sections.append(
        _section(
            "Where it works",
            "Mean rank IC with 95 % limits. Volatility is the equal-weight market's over the last 20 windows, known "
            "when a window closes; whether the market rises next is not.",
            _legend(models_and_reversal[:-1]) + "".join(parts),
        )
    )
    return sections


def _part(title: str, entries: Sequence[dict[str, Any]], names: tuple[str, ...]) -> str:
    if not entries:
        return f'<h3>{title}</h3><p class="read">Nothing to show: no part has enough instruments.</p>'
    return f"<h3>{title}</h3>{forest_chart(entries, names)}"


def _graph(graph: dict[str, Any], size_ns: int) -> str:
    drawn = []
    for name, model in graph["models"].items():
        heard = ", ".join(f"{one['from']} ({one['weight']:.4f})" for one in model["heard"])
        parts = [f"<h3>{escape(name)}: strongest edges</h3>", node_link(graph, name)]
        if len(graph["sector_names"]) > 1:
            parts += [f"<h3>{escape(name)}: preference between sectors</h3>", heat_map(graph, name)]
        parts.append(f'<p class="read">Heard most, mean weight over all listeners: {escape(heard)}.</p>')
        drawn.append(f"<div>{''.join(parts)}</div>")
    return _section(
        f"Learned graph, {time_text(graph['ts_close'], size_ns)}",
        f"What each model made of {graph['instruments']:,} instruments in this window: of a teacher the edges of its "
        "last block, mean over heads; of a student its low-rank graph. An arrow points at the one that listens. "
        "Preference: the share of a sector's weight that goes to another one, over the share of instruments in it; "
        "1 is none.",
        f'<div class="columns">{"".join(drawn)}</div>',
    )


def _latency(latency: dict[str, Any], names: tuple[str, ...]) -> str:
    rows = [
        [name, f"{one['steps']:,}", *(f"{one[f'p{p}_ms']:.3f}" for p in (50, 90, 99))]
        for name, one in latency.items()
    ]
    return _section(
        "Latency of a step",
        "One window in, one score for each instrument out; measured in this run, the models taking turns in one "
        "process. Not part of ab.json.",
        _legend([(name, series_kind(names, name)) for name in latency])
        + latency_chart(latency, names)
        + _table(["", "steps", "median, ms", "p90, ms", "p99, ms"], rows),
    )


def _confidence_set(comparison: dict[str, Any]) -> str:
    found = comparison.get("confidence_set")
    if found is None:
        return ""
    values = ", ".join(f"{name} (p = {value:.3f})" for name, value in found["p_values"].items())
    kept = ", ".join(found["included"])
    return (
        f"<p>Model confidence set at {100 * (1 - found['size']):g} %: <strong>{escape(kept)}</strong>. "
        f"{escape(values)}.</p>"
    )


def _section(title: str, read: str, body: str) -> str:
    caption = f'<p class="read">{escape(read)}</p>' if read else ""
    return f"<section><h2>{escape(title)}</h2>{caption}{body}</section>\n"


def _legend(entries: Iterable[tuple[str, str]]) -> str:
    marks = "".join(f'<span class="{kind}">{escape(name)}</span>' for name, kind in entries)
    return f'<div class="legend">{marks}</div>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heading = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{heading}</tr>{body}</table></div>'
