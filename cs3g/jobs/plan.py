"""From a request to a job that can be done: every id looked up in what the worker allows, never taken as a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cs3g.jobs.errors import JobRefused
from cs3g.jobs.history_data import LIVE_GRAPHS, archive_folder
from cs3g.jobs.spec import JobSpec
from cs3g.jobs.verdict import Measure
from cs3g.models import load_role_artifact
from cs3g.recipe_files import read_recipe, recipe_names
from cs3g_model.artifacts import Artifact, load_artifact
from cs3g_model.distillation.recipe import Recipe
from pipeline.config import PipelineConfig
from pipeline.registry import Registry
from topics.control import JobRequest
from topics.types import Role

__all__ = ["JobPlan", "plan_job"]

DEFAULT_RECIPE: Final = "quick"


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What a request asks for, with everything it names found and checked.

    Attributes
    ----------
    archive
        Folder of the data; None for the topic of snapshots.
    models
        Folders of the artifacts by id.
    incumbent_id, incumbent_seq
        The student that serves, and the number of its activation, 0 if none was ever activated.
    budget_bytes
        The incumbent's.
    """

    dataset_id: str
    archive: Path | None
    recipe_id: str
    recipe: Recipe
    teacher_id: str | None
    student_id: str | None
    incumbent_id: str
    incumbent_seq: int
    budget_bytes: int
    models: dict[str, Path]

    def spec(self, request: JobRequest, data_sha256: str, margin: float, measure: Measure) -> JobSpec:
        """Return what the process is told."""
        return JobSpec(
            kind=request.kind,
            seed=request.seed,
            dataset_id=self.dataset_id,
            data_sha256=data_sha256,
            recipe_id=self.recipe_id,
            recipe=self.recipe,
            teacher_id=self.teacher_id,
            student_id=self.student_id,
            incumbent_id=self.incumbent_id,
            budget_bytes=self.budget_bytes,
            margin=margin,
            measure=measure,
        )


def plan_job(
    request: JobRequest,
    config: PipelineConfig,
    registry: Registry,
    *,
    datasets: Path | None = None,
    recipes: Path | None = None,
) -> JobPlan:
    """Look up everything that a request names.

    Parameters
    ----------
    datasets
        Folder whose folders are the archives that may be learned from.
    recipes
        Folder of recipes besides the shipped ones.

    Raises
    ------
    JobRefused
        If a name is unknown, or of another kind than it must be.
    ModelError, PipelineError
        If a recipe does not parse, or an artifact is missing, changed, or unreadable.
    """
    if request.universe != config.universe:
        raise JobRefused(
            f"the job is for universe {request.universe!r}, this worker serves {config.universe!r}"
        )
    recipe_id = request.recipe_id or DEFAULT_RECIPE
    recipe = _recipe(recipe_id, recipes)
    dataset_id = request.dataset_id or LIVE_GRAPHS
    archive = None if dataset_id == LIVE_GRAPHS else archive_folder(datasets, dataset_id)
    incumbent, seq = incumbent_of(request.job_id, config, registry)
    models = {incumbent.manifest.model_id: incumbent.path}

    def known(model_id: str, role: Role) -> str:
        artifact = load_artifact(registry.get(model_id))
        found = artifact.manifest
        if found.role != role:
            raise JobRefused(f"model {model_id!r} is a {found.role}: `{role}_id` must name a {role}")
        models[found.model_id] = artifact.path
        return found.model_id

    student_id = None if request.student_id is None else known(request.student_id, "student")
    teacher_id = None
    if request.teacher_id is not None:
        teacher_id = known(request.teacher_id, "teacher")
    elif request.kind == "distill":
        active = registry.active(config.universe, "teacher")
        if active is not None:
            teacher_id = known(active.model_id, "teacher")
        else:
            teacher = load_role_artifact(config, "teacher")
            teacher_id = teacher.manifest.model_id
            models[teacher_id] = teacher.path
    return JobPlan(
        dataset_id=dataset_id,
        archive=archive,
        recipe_id=recipe_id,
        recipe=recipe,
        teacher_id=teacher_id,
        student_id=student_id,
        incumbent_id=incumbent.manifest.model_id,
        incumbent_seq=seq,
        budget_bytes=incumbent.manifest.weights_bytes,
        models=models,
    )


def incumbent_of(job_id: str, config: PipelineConfig, registry: Registry) -> tuple[Artifact, int]:
    """Return the student that a job's model is compared with, and the number of its activation.

    The one before the job's own activation, where a worker died between that and the job's end: so whoever takes
    the job over compares, and reports, the same.

    Raises
    ------
    ModelError, PipelineError
        If it is missing, changed, or unreadable.
    """
    before = []
    for activation in sorted(registry.history(config.universe, "student"), key=lambda found: found.seq):
        if activation.job_id == job_id:
            break
        before.append(activation)
    if not before:
        return load_role_artifact(config, "student"), 0
    return load_artifact(registry.get(before[-1].model_id)), before[-1].seq


def _recipe(recipe_id: str, folder: Path | None) -> Recipe:
    # By listing, never by joining: an id cannot lead anywhere else.
    own = {} if folder is None else {path.stem: path for path in sorted(folder.glob("*.toml"))}
    if recipe_id in own:
        return read_recipe(str(own[recipe_id].resolve()))
    if recipe_id not in recipe_names():
        names = ", ".join([*own, *recipe_names()])
        raise JobRefused(f"no recipe is called {recipe_id!r}: this worker knows {names}")
    return read_recipe(recipe_id)
