"""Judges a study's scores on its test part: every model beside the teacher and the controls.

What is judged by is made ready before anything is fitted: an end of a part that leaves no window, or an anchor's
file that does not fit the panel, should not be found out after the fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np

from cs3g.evaluation_files import read_panel, read_scores
from cs3g.panel_data import end_of_day_ns
from cs3g.study.fits import Fitted, slug
from cs3g.study.plan import TEACHER, Study
from cs3g_model.artifacts import load_artifact
from cs3g_model.errors import EvaluationError
from cs3g_model.evaluation.panel import CrossSections, MarketPanel, cross_sections
from cs3g_model.evaluation.report import Settings, compare_models, judge
from cs3g_model.evaluation.resampling import Resampling
from cs3g_model.evaluation.scoring import ScoreSeries
from topics.types import Float64Array

__all__ = ["ENSEMBLE", "REVERSAL", "Yardstick", "judge_study", "read_yardstick"]

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


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What a study's scores are held against.

    Attributes
    ----------
    panel
        Prices of the whole file.
    sections
        Windows, universe and labels of the test part.
    anchors
        (T, N) scores of further models by name, one array a seed.
    """

    panel: MarketPanel
    sections: CrossSections
    anchors: dict[str, list[Float64Array]]


def read_yardstick(study: Study, anchors: dict[str, list[Path]]) -> Yardstick:
    """Read the panel, cut its test part, and read the scores of models that the study does not fit.

    Parameters
    ----------
    study
        What will be fitted.
    anchors
        Score files by the name of their model, one a seed.

    Raises
    ------
    ReplayError
        If the panel or a file of scores cannot be read, or they do not belong together.
    EvaluationError
        If the test part has no two windows that can be judged.
    """
    panel = read_panel(study.data, study.window)
    start_ns, stop_ns = (end_of_day_ns(date.fromisoformat(day)) for day in (study.valid_end, study.test_end))
    try:
        sections = cross_sections(
            panel, start_ns=start_ns, stop_ns=stop_ns, history=study.history, price_limit=study.price_limit
        )
    except EvaluationError as error:
        first, last = (str(np.datetime64(int(ns), "ns"))[:10] for ns in panel.starts_ns[[0, -1]])
        raise EvaluationError(
            f"the test part, after --valid-end {study.valid_end} to --test-end {study.test_end}, of a panel from"
            f" {first} to {last}: {error}"
        ) from error
    scores = {name: [read_scores(path, panel).scores for path in paths] for name, paths in anchors.items()}
    return Yardstick(panel, sections, scores)


def judge_study(study: Study, fitted: Fitted, yardstick: Yardstick) -> dict[str, Any]:
    """Compare every model with the teacher and with reversal on the test part.

    Parameters
    ----------
    study, fitted
        What was fitted; its scores lie in the study's folder.
    yardstick
        What they are judged by.

    Returns
    -------
    Plain values that JSON can hold: `panel`, what was judged; `rows`, one a model, the teacher's first.
    """
    panel, sections = yardstick.panel, yardstick.sections
    settings = Settings()
    resampling = Resampling.of(len(sections.windows), block=settings.block, draws=settings.draws)
    scores = _scores(study, fitted, yardstick)
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
            "price_limit": study.price_limit,
            "equal_weight_sharpe": mean["EW_sharpe"],
            "equal_weight_ann": mean["EW_ann"],
        },
        "rows": rows,
    }


def _scores(study: Study, fitted: Fitted, yardstick: Yardstick) -> dict[str, list[Float64Array]]:
    panel = yardstick.panel
    scores: dict[str, list[Float64Array]] = {}
    for name, seed in fitted:
        path = study.out / "scores" / f"{slug(name, seed)}.parquet"
        scores.setdefault(name, []).append(read_scores(path, panel).scores)
    scores |= yardstick.anchors
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
