"""One student of an ablation: distilled, saved, scored. What is on disk is not computed again."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.ablations.settings import Panel, Plan, short_name
from cs3g.files import write_json, write_whole
from cs3g.fitting import History
from cs3g.models import load_as
from cs3g.panel_data import PanelFile, continuously_present, next_returns, parse_window
from cs3g.recipe_files import read_recipe
from cs3g_model.artifacts import Artifact, load_artifact, runtime_of, save_artifact
from cs3g_model.config import TeacherConfig
from cs3g_model.distillation.stages import distill
from cs3g_model.errors import ConfigError
from cs3g_model.metrics import agreement, rank_ic

__all__ = ["Run", "Series", "run_student", "teacher_series"]

FloatArray = NDArray[np.float64]
Series = dict[str, FloatArray]
"""Per window: "valid_rank_ic", "valid_agreement", and "test_" likewise."""


@dataclass(frozen=True, slots=True)
class Run:
    """A student's results.

    Attributes
    ----------
    recipe, seed
        Which one.
    model_id
        Its artifact's.
    seconds
        Wall time of the distillation.
    stages
        The losses at begin and end of each stage, see `StageReport`.
    series
        Its quality in each window.
    """

    recipe: str
    seed: int
    model_id: str
    seconds: float
    stages: list[dict[str, Any]]
    series: Series


def teacher_series(panel: Panel, plan: Plan) -> tuple[str, Series]:
    """Score the panel by its teacher, once; returns its id and its rank IC in each window."""
    parent, _ = _teacher(panel)
    history = _history(panel, looks_at_test=plan.looks_at_test)
    return parent.manifest.model_id, _series(history, _told(panel, plan), None)


def run_student(panel: Panel, plan: Plan, recipe: str, seed: int) -> Run:
    """Distill a student, or take it from an earlier run of the same settings, and score it.

    Raises
    ------
    ModelError, ReplayError
        If the panel, the teacher or the recipe does not do.
    """
    parent, config = _teacher(panel)
    history = _history(panel, looks_at_test=plan.looks_at_test)
    chosen = read_recipe(recipe)
    settings = msgspec.structs.replace(plan.train, seed=seed)
    about = {
        "teacher": parent.manifest.model_id,
        "data": _file(panel).sha256(),
        "splits": {name: history.splits()[name] for name in ("train", "valid")},
        "history": panel.history,
        "recipe": msgspec.to_builtins(chosen),
        "model": msgspec.to_builtins(plan.model),
        "train": msgspec.to_builtins(settings),
    }
    folder = plan.folder / panel.name
    digest = hashlib.sha256(msgspec.json.encode(about, order="sorted")).hexdigest()[:12]
    path = folder / "runs" / f"{short_name(recipe)}-s{seed}-{digest}.json"
    if not path.is_file():
        began = time.monotonic()
        result = distill(config, parent.tensors, plan.model, history.data, chosen, settings)
        seconds = time.monotonic() - began
        saved = save_artifact(
            folder / "models",
            plan.model,
            result.tensors,
            parent_id=parent.manifest.model_id,
            data_sha256=about["data"],
            splits=about["splits"],
            seed=seed,
            training={"train": about["train"], "recipe": about["recipe"], "explainers": []},
        )
        found = {"model_id": saved.name, "seconds": seconds, "stages": msgspec.to_builtins(result.stages)}
        write_json(path, about | found)
    run = json.loads(path.read_text(encoding="utf-8"))
    student = runtime_of(load_artifact(folder / "models" / run["model_id"]))
    series = _series(history, history.scores(student), _told(panel, plan))
    return Run(recipe, seed, run["model_id"], run["seconds"], run["stages"], series)


def _file(panel: Panel) -> PanelFile:
    relations = None if panel.relations is None else Path(panel.relations)
    return PanelFile(panel.data, relations, parse_window(panel.window))


@lru_cache(maxsize=1)
def _history(panel: Panel, *, looks_at_test: bool) -> History:
    # A process works on one panel at a time; building its snapshots takes long.
    if looks_at_test and panel.test_end is None:
        raise ConfigError(f"panel {panel.name}: --test needs the last day of the test part, test_end")
    test_end = panel.test_end if looks_at_test else None
    return History.split(_file(panel).graph_run(), panel.train_end, panel.valid_end, test_end, panel.history)


@lru_cache(maxsize=1)
def _teacher(panel: Panel) -> tuple[Artifact, TeacherConfig]:
    return load_as(TeacherConfig, panel.teacher)


def _told(panel: Panel, plan: Plan) -> NDArray[np.float32]:
    # A teacher takes a hundred times a student's time: its scores are kept.
    parent, _ = _teacher(panel)
    history = _history(panel, looks_at_test=plan.looks_at_test)
    data = "".join(sorted(_file(panel).sha256().values())) + str(history.splits())
    name = f"{parent.manifest.model_id}-{hashlib.sha256(data.encode()).hexdigest()[:12]}.npy"
    path = plan.folder / panel.name / "teacher" / name
    if not path.is_file():
        scores = history.scores(runtime_of(parent))

        def save(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.save(file, scores, allow_pickle=False)

        write_whole(path, save)
    told: NDArray[np.float32] = np.load(path, allow_pickle=False)
    return told


def _series(history: History, scores: NDArray[np.float32], told: NDArray[np.float32] | None) -> Series:
    returns = next_returns(history.run)
    known = continuously_present(history.run.mask, history.history)
    out: Series = {}
    for name, (start, stop) in history.parts().items():
        part = slice(start, stop - 1)  # the last label is realized in the next part
        counts = known[part] & np.isfinite(returns[part])
        out[f"{name}_rank_ic"] = rank_ic(scores[part], returns[part], counts)
        if told is not None:
            out[f"{name}_agreement"] = agreement(scores[part], told[part], counts)
    return out
