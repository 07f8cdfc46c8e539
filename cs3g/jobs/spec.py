"""What a job's process is told and what it answers: JSON, nothing that could run."""

from __future__ import annotations

from typing import Literal

import msgspec

from cs3g.jobs.split import Shares
from cs3g.jobs.verdict import Measure, Verdict
from cs3g_model.distillation.recipe import Recipe

__all__ = ["JobAnswer", "JobEvent", "JobSpec"]


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is ready to be done; with the data, it decides the model's id.

    Attributes
    ----------
    kind
        `distill`: a student from the teacher, compressed if the recipe says so. `compress`: the same, always
        compressed; without a teacher the student itself is made smaller.
    dataset_id, data_sha256
        What the data was called, and its digest.
    recipe_id, recipe
        The losses and their stages.
    teacher_id, student_id, incumbent_id
        Ids of artifacts in the job's folder. The student is where the fit starts and gives the architecture; without
        one the fit starts anew with the incumbent's.
    budget_bytes
        Size of the incumbent's weights, which a compressed student must not exceed.
    margin, measure
        Of the comparison with the incumbent.
    """

    kind: Literal["distill", "compress"]
    seed: int
    dataset_id: str
    data_sha256: str
    recipe_id: str
    recipe: Recipe
    teacher_id: str | None
    student_id: str | None
    incumbent_id: str
    budget_bytes: int
    margin: float
    measure: Measure = "rank-ic"
    shares: Shares = Shares()

    @property
    def compresses(self) -> bool:
        """Whether the student is made as small as the incumbent."""
        return self.kind == "compress" or not isinstance(self.recipe.compression, msgspec.UnsetType)


class JobEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A line of progress on the process's standard output.

    Attributes
    ----------
    progress
        Fraction done, 0 to 1.
    """

    progress: float
    detail: str


class JobAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How the process ended: with a model and its verdict, or with the reason why there is none."""

    model_id: str | None = None
    verdict: Verdict | None = None
    metrics: dict[str, float] = {}
    error: str = ""
