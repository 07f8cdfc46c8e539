"""The loop as one page: agreement and rank IC by window, colored by the student that served, with what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from cs3g.ab.plots import trailing
from cs3g.ab.style import STYLE
from cs3g.ab.svg import Chart, escape, nice_ticks, padded, sampled
from cs3g.ab.texts import time_text
from cs3g.files import write_whole
from cs3g.loop.follow import LoopRecords
from cs3g.loop.report import story
from topics.types import Float64Array, Int64Array

_TIME_TICKS: Final = 6
_COLORS: Final = 6
_TRAILING_WINDOWS: Final = 20


def write_page(path: Path, values: dict[str, Any], records: LoopRecords, size_ns: int) -> None:
    """Write the page of a loop's values and outcomes; whole or not at all."""
    text = loop_page(values, records, size_ns)
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def loop_page(values: dict[str, Any], records: LoopRecords, size_ns: int) -> str:
    """Return the page as HTML, with nothing fetched and no script."""
    outcomes = [records.outcomes[key] for key in sorted(records.outcomes) if key[0] == "student"]
    times = np.array([outcome.ts_close for outcome in outcomes], np.int64)
    agreement = np.array([np.nan if o.agreement is None else o.agreement for o in outcomes])
    rank_ic = np.array([np.nan if o.rank_ic is None else o.rank_ic for o in outcomes])
    mean, _ = trailing(rank_ic, _TRAILING_WINDOWS)
    stretches = values["served"]["student"]
    legend = "".join(
        f'<span class="s{i % _COLORS}">{escape(stretch["model_id"])}</span>'
        for i, stretch in enumerate(stretches)
    )
    charts = ""
    if len(times):
        charts = (
            f"<h2>Rank agreement with the teacher</h2>{_chart(times, agreement, values, size_ns)}"
            f"<h2>Rank IC, mean of {_TRAILING_WINDOWS} windows</h2>{_chart(times, mean, values, size_ns)}"
        )
    happened = "".join(f"<li>{escape(line)}</li>" for line in story(values))
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(values[name]))}</dd>"
        for name in ("data_digest", "prediction_digest", "config_hash", "policy", "ticks", "windows", "gaps")
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>cs3g: the retraining loop on replayed history</title><style>{STYLE}</style></head><body>
<h1>The retraining loop on replayed history</h1>
<p class="read">A vertical line stands where the trigger asked for a job, and the color changes where a model was
swapped in.</p>
<div class="legend">{legend}</div>
{charts}
<h2>What happened</h2><ol>{happened}</ol>
<h2>What it was made of</h2><dl>{facts}</dl>
</body></html>
"""


def _chart(times: Int64Array, series: Float64Array, values: dict[str, Any], size_ns: int) -> str:
    chart = Chart((0.0, float(max(len(times) - 1, 1))), padded(series))
    chart.grid_y(nice_ticks(*chart.y_range, n=4), lambda v: f"{v:g}")
    chart.grid_x([(float(i), time_text(int(times[i]), size_ns)) for i in sampled(len(times), _TIME_TICKS)])
    for number, stretch in enumerate(values["served"]["student"]):
        own = np.flatnonzero((times >= stretch["first_ts_close"]) & (times <= stretch["last_ts_close"]))
        chart.line(own.astype(np.float64), series[own], f"s{number % _COLORS}")
    for decision in values["decisions"]:
        if decision["action"] == "job":
            at = chart.x(float(np.searchsorted(times, decision["ts_close"])))
            chart.add(f'<path class="zero" d="M{at:.1f} {chart.top}V{chart.height - chart.bottom}"/>')
    return chart.render("by window")
