"""Judges a study's scores on its test part: every model beside the teacher and the controls."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np

from cs3g.evaluation_files import read_panel, read_scores
from cs3g.panel_data import end_of_day_ns
from cs3g.study.fits import Fitted, slug
from cs3g.study.plan import TEACHER, Study
from cs3g_model.artifacts import load_artifact
from cs3g_model.evaluation.panel import MarketPanel, cross_sections
from cs3g_model.evaluation.report import Settings, compare_models, judge
from cs3g_model.evaluation.resampling import Resampling
from cs3g_model.evaluation.scoring import ScoreSeries
from topics.types import Float64Array

__all__ = ["ENSEMBLE", "REVERSAL", "judge_study"]

ENSEMBLE: Final = "teacher, seeds averaged"
REVERSAL: Final = "one-window reversal"
_NUMBERS: Final = (
    "RankIC",
    "RankIC_lo",
    "RankIC_hi",
    "RankICIR",
    "IC",
    "DAcs_cc",
    "LS_sharpe",
    "LO_net",
    "TD_net",
    "TD_net_IR",
    "turnover",
    "coverage",
)


def judge_study(study: Study, fitted: Fitted, anchors: dict[str, list[Path]]) -> dict[str, Any]:
    """Compare every model with the teacher and with reversal on the test part.

    Parameters
    ----------
    study, fitted
        What was fitted; its scores lie in the study's folder.
    anchors
        More score files by the name of their model, one a seed.

    Returns
    -------
    Plain values that JSON can hold: `panel`, what was judged; `rows`, one a model, the teacher's first.
    """
    panel = read_panel(study.data, study.window)
    start_ns, stop_ns = (end_of_day_ns(date.fromisoformat(day)) for day in (study.valid_end, study.test_end))
    sections = cross_sections(panel, start_ns=start_ns, stop_ns=stop_ns, history=study.history)
    settings = Settings()
    resampling = Resampling.of(len(sections.windows), block=settings.block, draws=settings.draws)
    scores = _scores(study, fitted, anchors, panel)
    judged = {name: judge(found, sections, resampling) for name, found in scores.items()}
    series: dict[str, list[ScoreSeries]] = {name: found for name, (found, _) in judged.items()}
    rows = []
    for name, (_, values) in judged.items():
        row: dict[str, Any] = {"name": name, "seeds": values["n"], "comparable": values["comparable"]}
        row |= {number: values["mean"][number] for number in _NUMBERS}
        row["RankIC_seed_std"] = values["std"]["RankIC"]
        for key, other in (("against_teacher", TEACHER.name), ("against_reversal", REVERSAL)):
            if name != other:
                row[key] = compare_models(series[name], series[other], sections, resampling, settings)
        rows.append(row | _artifacts(fitted, name))
    mean = judged[TEACHER.name][1]["mean"]
    return {
        "panel": {
            "first_ns": int(sections.starts_ns[0]),
            "last_ns": int(sections.starts_ns[-1]),
            "windows": len(sections.windows),
            "instruments": len(panel.symbols),
            "names_a_window": float(sections.scored.sum(axis=1).mean()),
            "history": study.history,
            "equal_weight_sharpe": mean["EW_sharpe"],
            "equal_weight_ann": mean["EW_ann"],
        },
        "rows": rows,
    }


def _scores(
    study: Study, fitted: Fitted, anchors: dict[str, list[Path]], panel: MarketPanel
) -> dict[str, list[Float64Array]]:
    files: dict[str, list[Path]] = {}
    for name, seed in fitted:
        files.setdefault(name, []).append(study.out / "scores" / f"{slug(name, seed)}.parquet")
    scores = {
        name: [read_scores(path, panel).scores for path in paths] for name, paths in (files | anchors).items()
    }
    if len(scores[TEACHER.name]) > 1:
        scores[ENSEMBLE] = [_average(scores[TEACHER.name])]
    past = np.full(panel.prices.shape, np.nan)
    past[1:] = panel.prices[1:] / panel.prices[:-1] - 1.0
    scores[REVERSAL] = [-past]
    return scores


def _average(scores: list[Float64Array]) -> Float64Array:
    """Return the mean of the seeds' scores, each in units of its own spread over the window."""
    scaled = [
        one / np.nanstd(np.where(np.isfinite(one), one, np.nan), axis=1, keepdims=True).clip(1e-12)
        for one in scores
    ]
    return np.asarray(np.mean(scaled, axis=0), np.float64)


def _artifacts(fitted: Fitted, name: str) -> dict[str, Any]:
    """Return the size of a fitted model's first seed, and its mean validation rank IC."""
    folders = [folder for (variant, _), folder in fitted.items() if variant == name]
    if not folders:
        return {}
    manifests = [load_artifact(folder).manifest for folder in folders]
    return {
        "models": [m.model_id for m in manifests],
        "parameters": manifests[0].parameters,
        "weights_bytes": manifests[0].weights_bytes,
        "valid_RankIC": float(np.mean([m.metrics["valid_rank_ic"]["mean"] for m in manifests])),
    }
