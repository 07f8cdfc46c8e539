"""The A/B report of a run: `ab.json` for programs, `ab.html` for people, equal bytes for equal data."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from cs3g.files import write_json, write_whole
from cs3g_model.artifacts import Manifest
from pipeline.comparison import Comparison
from topics.types import NANOS_PER_SECOND, Float64Array, Role

SMOOTHING_WINDOWS: Final = 20
MAX_PLOTTED: Final = 2_000


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a report's numbers come from."""

    sources: tuple[str, ...]
    data_digest: str
    prediction_digest: str
    config_hash: str
    window_size_ns: int
    manifests: Mapping[Role, Manifest]


def report_values(
    comparison: Comparison | None, provenance: Provenance, *, reason: str = ""
) -> dict[str, Any]:
    """Return the content of `ab.json`.

    Parameters
    ----------
    comparison
        None where no window could be compared; `reason` says why.
    """
    manifests = provenance.manifests
    models = {
        role: {
            "model_id": manifest.model_id,
            "parameters": manifest.parameters,
            "weights_bytes": manifest.weights_bytes,
        }
        for role, manifest in manifests.items()
    }
    values: dict[str, Any] = {
        "schema_version": 1,
        "sources": list(provenance.sources),
        "data_digest": provenance.data_digest,
        "prediction_digest": provenance.prediction_digest,
        "config_hash": provenance.config_hash,
        "window_size_ns": provenance.window_size_ns,
        "models": models,
        "comparison": None if comparison is None else comparison.summary,
        "verdict": verdict(comparison, reason),
    }
    if {"student", "teacher"} <= models.keys():
        values["bytes_ratio"] = manifests["teacher"].weights_bytes / manifests["student"].weights_bytes
    return values


def verdict(comparison: Comparison | None, reason: str = "") -> str:
    """Return one sentence that says what the comparison shows, with its uncertainty."""
    if comparison is None:
        return f"Nothing could be compared: {reason}"
    difference = comparison.summary.get("student_minus_teacher")
    windows = comparison.summary["windows"]
    if difference is None:
        found = comparison.summary["predictors"]["student"]
        return (
            f"The student's rank IC is {found['rank_ic']:+.4f} [{found['rank_ic_low']:+.4f},"
            f" {found['rank_ic_high']:+.4f}] over {windows:,} windows; no teacher ran beside it."
        )
    interval = (
        f"{difference['rank_ic']:+.4f} [{difference['rank_ic_low']:+.4f}, {difference['rank_ic_high']:+.4f}]"
    )
    margin = difference["equivalence_margin"]
    equivalent = "is" if difference["equivalent"] else "is not shown to be"
    return (
        f"Over {windows:,} windows the student's rank IC minus the teacher's is {interval} (95 % CI):"
        f" the student {equivalent} equivalent to the teacher within ±{margin:g} (TOST, 5 %)."
    )


def write_report(out: Path, values: dict[str, Any], comparison: Comparison | None) -> None:
    """Write `ab.json` and `ab.html` into a folder."""
    write_json(out / "ab.json", values)
    page = _page(values, comparison)
    write_whole(out / "ab.html", lambda path: path.write_text(page, encoding="utf-8"))


def _page(values: dict[str, Any], comparison: Comparison | None) -> str:
    plots = "" if comparison is None else _plots(comparison)
    rows = "" if comparison is None else _rows(comparison)
    facts = [
        ("data", f"{', '.join(values['sources'])} ({values['data_digest']})"),
        ("predictions", values["prediction_digest"]),
        ("configuration", values["config_hash"]),
        *(
            (
                role,
                f"{model['model_id']}, {model['parameters']:,} parameters, {model['weights_bytes']:,} bytes",
            )
            for role, model in values["models"].items()
        ),
    ]
    listed = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in facts)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>cs3g: teacher and student on replayed history</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; }} th, td {{ padding: .2rem .8rem; text-align: right; }}
th:first-child, td:first-child {{ text-align: left; }} tr + tr {{ border-top: 1px solid #ddd; }}
dt {{ font-weight: 600; }} dd {{ margin: 0 0 .4rem; overflow-wrap: anywhere; }} svg {{ width: 100%; height: auto; }}
</style></head><body>
<h1>Teacher and student on replayed history</h1>
<p><strong>{html.escape(values["verdict"])}</strong></p>
{rows}
{plots}
<h2>What was compared</h2><dl>{listed}</dl>
</body></html>
"""


def _rows(comparison: Comparison) -> str:
    body = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{found['rank_ic']:+.4f}</td>"
        f"<td>[{found['rank_ic_low']:+.4f}, {found['rank_ic_high']:+.4f}]</td>"
        f"<td>{found['ic']:+.4f}</td><td>{found['rank_ic_ir']:+.3f}</td></tr>"
        for name, found in comparison.summary["predictors"].items()
    )
    equal_weight = comparison.summary["equal_weight_mean_return"]
    return (
        "<table><tr><th></th><th>rank IC</th><th>95 % CI</th><th>IC</th><th>rank IC IR</th></tr>"
        f"{body}</table><p>Equal weight: {equal_weight:+.5%} a window. Reversal is minus the last window's return.</p>"
    )


def _plots(comparison: Comparison) -> str:
    import matplotlib

    matplotlib.use("svg")
    # A fixed salt and no date: equal data give an equal page.
    matplotlib.rcParams.update({"svg.hashsalt": "cs3g", "font.size": 9})
    from matplotlib import pyplot

    step = max(1, len(comparison.ts_close) // MAX_PLOTTED)
    when = (comparison.ts_close // NANOS_PER_SECOND).astype("datetime64[s]")[::step]
    both = comparison.agreement
    figure, axes = pyplot.subplots(
        2 if both is not None else 1, 1, figsize=(9, 6), sharex=True, squeeze=False
    )
    for name, series in comparison.rank_ics.items():
        axes[0, 0].plot(when, np.nancumsum(series)[::step], label=name, linewidth=1.2)
    axes[0, 0].set_ylabel("cumulative rank IC")
    axes[0, 0].axhline(0.0, color="#999", linewidth=0.6)
    axes[0, 0].legend(loc="upper left", frameon=False)
    if both is not None:
        axes[1, 0].plot(when, both[::step], linewidth=0.4, color="#bbb")
        axes[1, 0].plot(when, _smoothed(both)[::step], linewidth=1.2, color="#333")
        axes[1, 0].set_ylabel(f"agreement of student and teacher\n(mean of {SMOOTHING_WINDOWS} windows)")
        axes[1, 0].set_ylim(-1.02, 1.02)
    figure.autofmt_xdate()
    figure.tight_layout()
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _smoothed(series: Float64Array) -> Float64Array:
    """Return the trailing mean over `SMOOTHING_WINDOWS` windows, NaNs left out."""
    finite = np.isfinite(series)
    sums = np.cumsum(np.where(finite, series, 0.0))
    counts = np.cumsum(finite)
    sums[SMOOTHING_WINDOWS:] -= sums[:-SMOOTHING_WINDOWS].copy()
    counts[SMOOTHING_WINDOWS:] -= counts[:-SMOOTHING_WINDOWS].copy()
    means: Float64Array = np.divide(sums, counts, out=np.full(len(series), np.nan), where=counts > 0)
    return means


def median_ms(latencies_ms: Sequence[float]) -> float | None:
    """Return the median of latencies, None where there are none."""
    return float(np.median(latencies_ms)) if latencies_ms else None
