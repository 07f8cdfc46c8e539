"""A panel's runs summed up by recipe, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.ablations.runs import FloatArray, Run, Series
from benchmarks.ablations.settings import short_name
from cs3g.recipe_files import read_recipe
from cs3g_model.metrics import bootstrap_mean

__all__ = ["markdown", "summarize"]


def summarize(runs: Sequence[Run], teacher: Series, parts: Sequence[str]) -> dict[str, Any]:
    """Sum runs up by recipe, in the runs' order; the first recipe is what the others are compared with.

    Parameters
    ----------
    runs
        Every recipe with the same seeds.
    teacher
        The teacher's rank IC in each window.
    parts
        "valid", "test".

    Returns
    -------
    dict[str, Any]
        The teacher's and each recipe's numbers by part. Intervals are of the mean over windows (95 %,
        stationary bootstrap with blocks of 10 windows) of series averaged over the seeds; the seeds' own
        spread is the standard deviation of their means (ddof 1).
    """
    recipes = list(dict.fromkeys(run.recipe for run in runs))
    rows = []
    for recipe in recipes:
        own = [run for run in runs if run.recipe == recipe]
        row: dict[str, Any] = {
            "recipe": short_name(recipe),
            "description": read_recipe(recipe).description,
            "seconds": float(np.mean([run.seconds for run in own])),
            "runs": [
                {"seed": run.seed, "model_id": run.model_id, "seconds": run.seconds, "stages": run.stages}
                for run in own
            ],
        }
        for part in parts:
            row[part] = _judged(own, [run for run in runs if run.recipe == recipes[0]], teacher, part)
        rows.append(row)
    told = {
        part: {
            "rank_ic": asdict(bootstrap_mean(teacher[f"{part}_rank_ic"])),
            "windows": len(teacher[f"{part}_rank_ic"]),
        }
        for part in parts
    }
    return {"teacher": told, "recipes": rows}


def _judged(own: Sequence[Run], base: Sequence[Run], teacher: Series, part: str) -> dict[str, Any]:
    name = f"{part}_rank_ic"
    means = [float(np.nanmean(run.series[name])) for run in own]
    series = _over_seeds(own, name)
    judged: dict[str, Any] = {
        "rank_ic": asdict(bootstrap_mean(series)),
        "rank_ic_by_seed": means,
        "rank_ic_std": float(np.std(means, ddof=1)) if len(means) > 1 else None,
        "agreement": float(np.mean([np.nanmean(run.series[f"{part}_agreement"]) for run in own])),
        "minus_teacher": asdict(bootstrap_mean(series - teacher[name])),
    }
    if own[0].recipe != base[0].recipe:
        judged["minus_first"] = asdict(bootstrap_mean(series - _over_seeds(base, name)))
    return judged


def _over_seeds(runs: Sequence[Run], name: str) -> FloatArray:
    average: FloatArray = np.mean([run.series[name] for run in runs], axis=0)
    return average


def markdown(report: dict[str, Any]) -> str:
    """Return a report as a Markdown page with a table for each part."""
    first = report["recipes"][0]["recipe"]
    lines = [
        f"# Distillation on {report['panel']['name']}",
        "",
        f"Command: `{report['command']}`  ",
        f"Commit {report['commit']}, seeds {', '.join(map(str, report['seeds']))}, {report['machine']}.",
        "",
        "Rank IC: mean over windows and seeds ± standard deviation of the seeds' means. Differences are paired by "
        "window, with the 95 % interval of the stationary bootstrap (mean block 10 windows, 2,000 draws) of the "
        "series averaged over seeds; the interval covers the windows, not the seeds. Agreement: rank correlation "
        "of student and teacher in a window.",
    ]
    for part, told in report["teacher"].items():
        lines += [
            "",
            f"## {part.capitalize()}: {told['windows']} windows, teacher {report['teacher_id']} "
            f"{_interval(told['rank_ic'])}",
            "",
            f"| recipe | rank IC | minus teacher | minus {first} | agreement | s to train |",
            "|---|---|---|---|---|---|",
        ]
        for row in report["recipes"]:
            judged = row[part]
            spread = "" if judged["rank_ic_std"] is None else f" ± {judged['rank_ic_std']:.4f}"
            cells = [
                row["recipe"],
                f"{judged['rank_ic']['mean']:.4f}{spread}",
                _interval(judged["minus_teacher"], sign="+"),
                _interval(judged["minus_first"], sign="+") if "minus_first" in judged else "-",
                f"{judged['agreement']:.3f}",
                f"{row['seconds']:.0f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *(f"- {row['recipe']}: {row['description']}" for row in report["recipes"]), ""]
    return "\n".join(lines)


def _interval(interval: dict[str, float], sign: str = "") -> str:
    mean, low, high = (format(interval[name], f"{sign}.4f") for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"
