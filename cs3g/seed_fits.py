"""Fits a model for each of several seeds, spread over torchrun's processes, and sums the fits up."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from cs3g.files import write_json
from cs3g.fitting import History, progress_bar
from cs3g_model.artifacts import save_artifact
from cs3g_model.config import StudentConfig, TeacherConfig, TrainConfig
from cs3g_model.protocol import StreamingModel
from cs3g_model.student_runtime import StudentRuntime
from cs3g_model.teacher_runtime import TeacherRuntime
from cs3g_model.training.loop import train
from cs3g_model.training.options import RunOptions
from cs3g_model.training.place import DeviceName, choose_place
from cs3g_model.training.ranks import joined, split_by_seed
from topics.types import BoolArray, Float32Array, Float64Array

__all__ = ["SeedPlan", "fit_seeds"]

Arrays = dict[str, Float32Array]


@dataclass(frozen=True, slots=True)
class SeedPlan:
    """What is fitted, and where things go.

    Attributes
    ----------
    model, settings
        Of every fit; the seed is replaced.
    seeds
        One fit each.
    out
        Folder of the artifacts and of the summary.
    device
        "auto", "cpu" or "cuda".
    checkpoint, resume
        Folder in which every fit has a folder of its own, and whether to go on from there.
    metrics
        JSON lines file; with several seeds each has its own, with the seed in its name.
    data_sha256
        Of the files, by name.
    """

    model: TeacherConfig | StudentConfig
    settings: TrainConfig
    seeds: Sequence[int]
    out: Path
    device: DeviceName
    checkpoint: Path | None
    resume: bool
    metrics: Path | None
    data_sha256: dict[str, str]

    @property
    def role(self) -> str:
        """The models' role."""
        return "teacher" if isinstance(self.model, TeacherConfig) else "student"

    def options(self, seed: int) -> RunOptions:
        """Return how a seed's fit runs, on one rank."""
        metrics = self.metrics
        if metrics is not None and len(self.seeds) > 1:
            metrics = metrics.with_name(f"{metrics.stem}-seed-{seed}{metrics.suffix}")
        folder = None if self.checkpoint is None else self.checkpoint / f"seed-{seed}"
        return RunOptions(checkpoint=folder, resume=self.resume, metrics=metrics)


def fit_seeds(plan: SeedPlan, history: History) -> list[Path]:
    """Fit a plan's models on a history; every process of a torchrun calls this, on one file system.

    With fewer seeds than processes several share a seed's dates: see `cs3g_model.training.loop`.

    Returns
    -------
    list[Path]
        On the first process the artifacts' folders in the order of the seeds and, for several seeds, the
        summary's file; nothing on the others.

    Raises
    ------
    ModelError
        If the device is not there, the ranks cannot be divided among the seeds, or a fit fails.
    """
    place = choose_place(plan.device, int(os.environ.get("LOCAL_RANK", "0")))
    with joined(cuda=place.device.type == "cuda") as world:
        group, seeds = split_by_seed(world, plan.seeds)
        rows = []
        total = np.zeros((history.test_stop, history.run.mask.shape[1]))
        for seed in seeds:
            options = replace(plan.options(seed), place=place, ranks=group)
            tensors = _fit(plan, history, seed, options, shows=world.rank == 0)
            if group.rank == 0:
                row, scores = _saved(plan, history, seed, tensors)
                rows.append(row)
                total += _standardized(scores, history.run.mask[: history.test_stop])
        found = {row["seed"]: row for part in world.gather_json(rows, place.device) for row in part}
        totals = world.gather(torch.tensor(total, device=place.device))
    if world.rank:
        return []
    in_order = [found[seed] for seed in plan.seeds]
    folders = [plan.out / row["id"] for row in in_order]
    if len(folders) == 1:
        return folders
    together = np.sum([part.cpu().numpy() for part in totals], axis=0) / len(plan.seeds)
    path = plan.out / f"{plan.role}-seeds.json"
    write_json(path, _summary(plan, history, in_order, together.astype(np.float32)))
    return [*folders, path]


def _fit(plan: SeedPlan, history: History, seed: int, options: RunOptions, *, shows: bool) -> Arrays:
    settings = msgspec.structs.replace(plan.settings, seed=seed)
    title = plan.role if len(plan.seeds) == 1 else f"{plan.role}, seed {seed}"
    with progress_bar(title) if shows else nullcontext() as progress:
        return train(plan.model, history.data, settings, progress, options).tensors


def _saved(
    plan: SeedPlan, history: History, seed: int, tensors: Arrays
) -> tuple[dict[str, Any], Float32Array]:
    # The artifact's row in the summary, and its scores.
    model = plan.model
    runtime: StreamingModel
    if isinstance(model, TeacherConfig):
        runtime = TeacherRuntime(model, tensors, "unsaved")
    else:
        runtime = StudentRuntime(model, tensors, "unsaved")
    scores = history.scores(runtime)
    metrics = history.judged(scores)
    folder = save_artifact(
        plan.out,
        model,
        tensors,
        data_sha256=plan.data_sha256,
        splits=history.splits(),
        seed=seed,
        # A fit that was resumed is the fit that was not: its artifact is the same, to the id.
        command=shlex.join(["cs3g", *(text for text in sys.argv[1:] if text != "--resume")]),
        training=msgspec.to_builtins(msgspec.structs.replace(plan.settings, seed=seed)),
        metrics=metrics,
    )
    judged = {name: metrics[name]["mean"] for name in _judged_by(history)}
    return {"seed": seed, "id": folder.name, **judged}, scores


def _summary(
    plan: SeedPlan, history: History, rows: list[dict[str, Any]], ensemble: Float32Array
) -> dict[str, Any]:
    together = history.judged(ensemble)
    summary: dict[str, Any] = {"role": plan.role, "seeds": rows}
    for name in _judged_by(history):
        values = [row[name] for row in rows]
        summary[name] = {
            "mean": float(np.mean(values)),
            "std": float(np.std(values, ddof=1)),
            "ensemble": together[name],
        }
    return summary


def _judged_by(history: History) -> list[str]:
    return [f"{part}_rank_ic" for part in history.parts()]


def _standardized(scores: Float32Array, mask: BoolArray) -> Float64Array:
    # Scores of unlike seeds differ in scale: each window counts alike for each of them.
    n = np.maximum(mask.sum(1, keepdims=True), 1)
    x = np.where(mask, scores, 0.0).astype(np.float64)
    centered = np.where(mask, x - x.sum(1, keepdims=True) / n, 0.0)
    deviation = np.sqrt((centered**2).sum(1, keepdims=True) / n)
    out: Float64Array = np.divide(centered, deviation, out=np.zeros_like(centered), where=deviation > 0)
    return out
