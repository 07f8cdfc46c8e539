"""The files of a comparison: `ab.json` for programs, `ab.md` to paste, `ab.html` to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cs3g.ab.comparison import Comparison
from cs3g.ab.markdown import markdown
from cs3g.ab.market import Market
from cs3g.ab.page import page
from cs3g.ab.provenance import Provenance
from cs3g.ab.scores import ModelScores
from cs3g.ab.verdict import verdict
from cs3g.files import write_json, write_whole

__all__ = ["SCHEMA_VERSION", "Report", "make_report", "write_report"]

SCHEMA_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class Report:
    """A comparison, ready to be written.

    Attributes
    ----------
    values
        Content of `ab.json`: equal runs give equal bytes, in process and through Kafka.
    comparison
        The series behind the plots; None where nothing could be compared.
    latency
        As of `latency_values`: measured, so never part of `values`; empty leaves the section out.
    """

    values: dict[str, Any]
    comparison: Comparison | None
    latency: dict[str, Any]

    @property
    def verdict(self) -> str:
        """One sentence."""
        return str(self.values["verdict"])


def make_report(
    models: Sequence[ModelScores],
    market: Market,
    provenance: Provenance,
    comparison: Comparison | None,
    *,
    reason: str = "",
    graph: dict[str, Any] | None = None,
    latency: dict[str, Any] | None = None,
) -> Report:
    """Put a report together.

    Parameters
    ----------
    models
        In order.
    comparison
        Of these models; None where nothing could be compared, and `reason` says why.
    graph
        As of `graph_values`.
    latency
        As of `latency_values`.
    """
    names = tuple(model.name for model in models)
    found = None if comparison is None else comparison.values
    sizes = [model.manifest.weights_bytes for model in models]
    values: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "verdict": verdict(names, found, reason),
        "manifest": provenance.manifest(market),
        "models": {model.name: _model_values(model, place) for place, model in enumerate(models)},
        "comparison": found,
        "learned_graph": graph,
    }
    if len(models) > 1:
        values["bytes_ratio"] = max(sizes[:2]) / min(sizes[:2])
    return Report(values, comparison, latency or {})


def write_report(out: Path, report: Report) -> None:
    """Write `ab.json`, `ab.md` and `ab.html` into a folder."""
    write_json(out / "ab.json", report.values)
    texts = {
        "ab.md": markdown(report.values, report.latency),
        "ab.html": page(report.values, report.comparison, report.latency),
    }
    for name, text in texts.items():
        write_whole(out / name, lambda path, text=text: path.write_text(text, encoding="utf-8"))  # type: ignore[misc]


def _model_values(model: ModelScores, place: int) -> dict[str, Any]:
    manifest = model.manifest
    return {
        "place": place,
        "model_id": manifest.model_id,
        "role": manifest.role,
        "parameters": manifest.parameters,
        "weights_bytes": manifest.weights_bytes,
        "weights_sha256": manifest.weights_sha256,
        "parent_id": manifest.parent_id,
        "scores_digest": model.digest,
    }
