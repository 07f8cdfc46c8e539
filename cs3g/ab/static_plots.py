"""The charts that have no time axis: calibration, sectors and regimes, latency, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cs3g.ab.plots import series_kind
from cs3g.ab.svg import Chart, decade_ticks, nice_ticks, padded
from cs3g.ab.texts import interval_text

__all__ = ["calibration_chart", "forest_chart", "latency_chart", "size_chart"]

_ROW_HEIGHT = 15


def calibration_chart(calibration: dict[str, Any]) -> str:
    """Draw each class of scores' mean excess return with its limits, basis points a window."""
    names = tuple(calibration["models"])
    k = calibration["classes"]
    points: dict[str, list[dict[str, Any]]] = {
        name: [
            {end: (value * 1e4 if value is not None else None) for end, value in one.items()} for one in found
        ]
        for name, found in calibration["models"].items()
    }
    values = np.array(
        [v for found in points.values() for one in found for v in one.values() if v is not None]
    )
    chart = Chart((0.5, k + 0.5), padded(values), height=250)
    chart.grid_y(nice_ticks(*chart.y_range), lambda v: f"{v:g}")
    marks = [(float(i), {1: "1 lowest", k: f"{k} highest"}.get(i, str(i))) for i in range(1, k + 1)]
    for at, text in marks:
        chart.text(chart.x(at), chart.height - chart.bottom + 16, text, anchor="middle")
    width = chart.x(1.0) - chart.x(0.0)
    for place, name in enumerate(names):
        shift = (place - (len(names) - 1) / 2) * min(11.0, width * 0.6 / len(names))
        for i, one in enumerate(points[name], start=1):
            if one["mean"] is not None:
                chart.interval(
                    chart.x(float(i)) + shift,
                    one["mean"],
                    one["lo"],
                    one["hi"],
                    series_kind(names, name),
                    f"{name}, class {i}: {interval_text(one, '+.2f')} bp a window",
                )
    return chart.render("mean excess return of each class of scores")


def forest_chart(entries: Sequence[dict[str, Any]], names: tuple[str, ...]) -> str:
    """Draw models' means with their limits, a row for each entry: name, windows, and intervals by model."""
    rows = [entry for entry in entries if any(one["mean"] is not None for one in entry["models"].values())]
    values = np.array(
        [v for entry in rows for one in entry["models"].values() for v in one.values() if v is not None]
    )
    row_height = max(24, _ROW_HEIGHT * len(names))
    chart = Chart(padded(values), (0.0, 1.0), height=len(rows) * row_height + 40, left=210)
    chart.grid_x([(v, f"{v:g}") for v in nice_ticks(*chart.x_range, n=5)], lines=True)
    for place, entry in enumerate(rows):
        middle = chart.top + (place + 0.5) * row_height
        members = f", ~{entry['instruments']:.0f} names" if "instruments" in entry else ""
        chart.text(chart.left - 12, middle - 1, _short(entry["name"]), anchor="end", kind="row")
        chart.text(
            chart.left - 12, middle + 10, f"{entry['windows']:,} windows{members}", anchor="end", kind="note"
        )
        for number, name in enumerate(names):
            one = entry["models"][name]
            if one["mean"] is not None:
                chart.interval(
                    middle + (number - (len(names) - 1) / 2) * 9,
                    one["mean"],
                    one["lo"],
                    one["hi"],
                    series_kind(names, name),
                    f"{entry['name']}, {name}: {interval_text(one)}",
                    flat=True,
                )
    return chart.render("rank IC with 95 % limits, by part")


def latency_chart(latency: dict[str, Any], names: tuple[str, ...]) -> str:
    """Draw what share of steps took at most so long, on a logarithmic scale."""
    times = {name: np.sort(np.array(found["times_ms"])) for name, found in latency.items()}
    low = min(float(one[0]) for one in times.values())
    high = max(float(one[-1]) for one in times.values())
    chart = Chart((max(low, 1e-4) * 0.8, max(high, 1e-4) * 1.25), (0.0, 1.0), height=190, log_x=True)
    chart.grid_y([0.0, 0.25, 0.5, 0.75, 1.0], lambda v: f"{v:.0%}")
    chart.grid_x([(v, f"{v:g} ms") for v in decade_ticks(*chart.x_range)], lines=True)
    for name, found in times.items():
        share = np.arange(1, len(found) + 1) / len(found)
        xs = np.concatenate([found[:1], np.repeat(found, 2)[1:]]) if len(found) > 1 else found
        ys = np.concatenate([[0.0], np.repeat(share, 2)[:-1]]) if len(found) > 1 else share
        chart.line(xs, ys, series_kind(names, name))
        p50, p99 = latency[name]["p50_ms"], latency[name]["p99_ms"]
        chart.interval(
            chart.x(p50),
            0.5,
            0.5,
            0.5,
            series_kind(names, name),
            f"{name}: median {p50:g} ms, p99 {p99:g} ms",
        )
    return chart.render("share of steps that took at most so long")


def size_chart(models: dict[str, Any]) -> str:
    """Draw the models' weights in bytes, from zero."""
    names = tuple(models)
    most = max(model["weights_bytes"] for model in models.values())
    chart = Chart(
        (0.0, float(most)), (0.0, 1.0), height=len(names) * 30 + 14, left=150, right=130, top=4, bottom=4
    )
    for place, (name, model) in enumerate(models.items()):
        y, n_bytes = chart.top + place * 30 + 4, model["weights_bytes"]
        stop = chart.x(n_bytes)
        chart.add(
            f'<rect class="{series_kind(names, name)} bar" x="{chart.left}" y="{y}" height="20"'
            f' width="{max(stop - chart.left, 1):.1f}"/>'
        )
        chart.text(chart.left - 10, y + 14, name, anchor="end", kind="row")
        chart.text(stop + 8, y + 14, f"{n_bytes:,} bytes")
    return chart.render("size of the weights")


def _short(name: str, most: int = 30) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
