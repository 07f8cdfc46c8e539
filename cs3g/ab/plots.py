"""The charts over time: cumulative rank IC, rank IC with its band, agreement, and the long-short books.

Letters: W judged windows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from cs3g.ab.comparison import REVERSAL, Comparison
from cs3g.ab.svg import MAX_HOVERS, Chart, nice_ticks, padded, sampled
from cs3g.ab.texts import time_text
from topics.types import Float64Array

__all__ = ["agreement_chart", "book_chart", "cumulative_chart", "rank_ic_charts", "series_kind", "trailing"]

SMOOTHING_WINDOWS: Final = 20
_TIME_TICKS: Final = 6


def series_kind(names: tuple[str, ...], name: str) -> str:
    """Return the class that colors a series."""
    return f"s{names.index(name) % 6}" if name in names else "c"


def trailing(series: Float64Array, windows: int = SMOOTHING_WINDOWS) -> tuple[Float64Array, Float64Array]:
    """Return mean and standard error over the last windows, (W,) each.

    NaN before there are as many; NaNs in the series are left out.
    """
    mean, error = np.full(len(series), np.nan), np.full(len(series), np.nan)
    if len(series) < windows:
        return mean, error
    rolling = np.lib.stride_tricks.sliding_window_view(series, windows)
    finite = np.isfinite(rolling)
    count = finite.sum(axis=1)
    enough = count >= 2
    total = np.where(finite, rolling, 0.0).sum(axis=1)
    center = np.divide(total, count, out=np.full(len(rolling), np.nan), where=enough)
    square = np.where(finite, rolling - center[:, None], 0.0) ** 2
    variance = np.divide(square.sum(axis=1), count - 1, out=np.full(len(rolling), np.nan), where=enough)
    mean[windows - 1 :] = center
    error[windows - 1 :] = np.sqrt(variance / np.maximum(count, 1))
    return mean, error


def cumulative_chart(found: Comparison, size_ns: int) -> str:
    """Draw the running sum of each window's rank IC, of models and reversal."""
    sums = {name: np.nancumsum(series) for name, series in found.rank_ic.items()}
    return _lines(found, sums, size_ns, "cumulative rank IC", lambda v: f"{v:g}", lambda v: f"{v:+.2f}")


def book_chart(found: Comparison, size_ns: int) -> str:
    """Draw the running sum of the long-short books' returns, before (thin) and after costs, and equal weight."""
    series: dict[str, Float64Array] = {}
    for name, book in found.books.items():
        if name != REVERSAL:
            series[f"{name}, before costs"] = np.concatenate([[0.0], np.cumsum(book.gross)])
            series[f"{name}, after costs"] = np.concatenate([[0.0], np.cumsum(book.net)])
    series["equal weight, long only"] = np.cumsum(found.equal_weight)

    def kind(label: str) -> str:
        name = label.rsplit(", ", 1)[0]
        return series_kind(found.names, name) + (" thin" if label.endswith("before costs") else "")

    return _lines(
        found, series, size_ns, "cumulative return", lambda v: f"{v:.0%}", lambda v: f"{v:+.1%}", kind=kind
    )


def agreement_chart(found: Comparison, size_ns: int) -> str:
    """Draw the rank correlation of two models' scores in each window, and its trailing mean."""
    (a, b), series = next(iter(found.agreement.items()))
    mean, _ = trailing(series)
    low = float(np.nanmin(series)) if np.isfinite(series).any() else 0.0
    room = max((1.0 - low) * 0.08, 1e-3)
    chart = Chart(_x_range(series), (max(-1.0, low - room), 1.0 + room * 0.4))
    chart.grid_y(nice_ticks(*chart.y_range, n=4), lambda v: f"{v:g}")
    _time_axis(chart, found, size_ns)
    at = sampled(len(series))
    chart.line(at.astype(np.float64), series[at], "faint")
    chart.line(at.astype(np.float64), mean[at], "strong")
    _hover(
        chart,
        found,
        size_ns,
        {f"{a} and {b}": series, f"mean of {SMOOTHING_WINDOWS}": mean},
        lambda v: f"{v:.4f}",
    )
    return chart.render(f"rank agreement of {a} and {b} over time")


def rank_ic_charts(found: Comparison, size_ns: int) -> list[tuple[str, str]]:
    """Draw the trailing mean of the rank IC with its 95 % band for each model, and of the first two's difference.

    Returns
    -------
    Title and chart of each; the models' charts share one scale.
    """
    moving = {name: trailing(found.rank_ic[name]) for name in found.names}
    edges = [mean + sign * 1.96 * error for mean, error in moving.values() for sign in (-1, 1)]
    span = padded(*edges)
    charts = [
        (name, _banded(found, {name: moving[name]}, span, size_ns, series_kind(found.names, name)))
        for name in found.names
    ]
    if len(found.names) > 1:
        a, b = found.names[:2]
        mean, error = trailing(found.rank_ic[a] - found.rank_ic[b])
        own = padded(mean - 1.96 * error, mean + 1.96 * error)
        title = f"{a} minus {b}"
        charts.append((title, _banded(found, {title: (mean, error)}, own, size_ns, "strong")))
    return charts


def _banded(
    found: Comparison,
    moving: dict[str, tuple[Float64Array, Float64Array]],
    span: tuple[float, float],
    size_ns: int,
    kind: str,
) -> str:
    name, (mean, error) = next(iter(moving.items()))
    chart = Chart(_x_range(mean), span, height=180)
    chart.grid_y(nice_ticks(*span, n=4), lambda v: f"{v:g}")
    _time_axis(chart, found, size_ns)
    at = sampled(len(mean))
    xs = at.astype(np.float64)
    chart.band(xs, (mean - 1.96 * error)[at], (mean + 1.96 * error)[at], kind)
    chart.line(xs, mean[at], kind)
    _hover(
        chart,
        found,
        size_ns,
        {f"mean of {SMOOTHING_WINDOWS}": mean, "± ": 1.96 * error},
        lambda v: f"{v:+.4f}",
    )
    return chart.render(f"trailing mean rank IC of {name} with its 95 % band")


def _lines(
    found: Comparison,
    series: dict[str, Float64Array],
    size_ns: int,
    label: str,
    tick: Callable[[float], str],
    value: Callable[[float], str],
    kind: Callable[[str], str] | None = None,
) -> str:
    chart = Chart(_x_range(found.ts_close), padded(*series.values()))
    chart.grid_y(nice_ticks(*chart.y_range), tick)
    _time_axis(chart, found, size_ns)
    at = sampled(len(found.ts_close))
    for name, values in series.items():
        chosen = kind(name) if kind is not None else series_kind(found.names, name)
        chart.line(at.astype(np.float64), values[at], chosen)
    _hover(chart, found, size_ns, series, value)
    return chart.render(label)


def _x_range(series: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> tuple[float, float]:
    return 0.0, float(max(len(series) - 1, 1))


def _time_axis(chart: Chart, found: Comparison, size_ns: int) -> None:
    # By number of window, not by time: nights and weekends are no gaps of the series.
    at = sampled(len(found.ts_close), _TIME_TICKS)
    chart.grid_x([(float(i), time_text(int(found.ts_close[i]), size_ns)) for i in at])


def _hover(
    chart: Chart,
    found: Comparison,
    size_ns: int,
    series: dict[str, Float64Array],
    value: Callable[[float], str],
) -> None:
    at = sampled(len(found.ts_close), MAX_HOVERS)
    titles = []
    for i in at.tolist():
        lines = [f"{name}: {value(values[i])}" for name, values in series.items() if np.isfinite(values[i])]
        titles.append("\n".join([time_text(int(found.ts_close[i]), size_ns), *lines]))
    chart.hover(at.astype(np.float64).tolist(), titles)
