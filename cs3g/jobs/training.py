"""The work of a job: distill, compress, save, and compare with the incumbent. Arrays and files, no Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from cs3g.jobs.errors import JobError
from cs3g.jobs.spec import JobAnswer, JobSpec
from cs3g.jobs.split import JobHistory, split_history
from cs3g.jobs.spool import Spool
from cs3g.jobs.verdict import Verdict, judge, judge_agreement
from cs3g_model.artifacts import Artifact, load_artifact, runtime_of, save_artifact
from cs3g_model.compression.compress import compress
from cs3g_model.compression.packing import Quantization, Stored, values_of
from cs3g_model.compression.settings import CompressConfig
from cs3g_model.config import StudentConfig, TeacherConfig, TrainConfig
from cs3g_model.distillation.stages import distill
from cs3g_model.metrics import agreement
from cs3g_model.protocol import StreamingModel
from cs3g_model.training.options import OnProgress, Progress, RunOptions
from cs3g_model.training.place import CPU
from cs3g_model.training.ranks import ALONE, Ranks
from pipeline.graphs import snapshots_of
from topics.types import Float32Array

__all__ = ["do_job"]

OnStep = Callable[[float, str], None]

_DISTILLED = 0.7
_COMPRESSED = 0.9


@dataclass(frozen=True, slots=True)
class _Made:
    """A student that is not saved yet."""

    config: StudentConfig
    stored: dict[str, Stored]
    quantization: Quantization | None
    training: dict[str, Any]


def do_job(spool: Spool, on_step: OnStep, ranks: Ranks = ALONE) -> JobAnswer | None:
    """Do the job of a folder and save its model there.

    Parameters
    ----------
    spool
        Filled with the request.
    on_step
        Called with the fraction done and what is being done.
    ranks
        Processes that share the fit; all but the first return None once it is made.

    Raises
    ------
    JobError, ModelError
        If it cannot be done.
    """
    spec = spool.spec()
    history = split_history(spool.graphs(), spec.shares)
    incumbent = load_artifact(spool.model(spec.incumbent_id))
    teacher = None if spec.teacher_id is None else load_artifact(spool.model(spec.teacher_id))
    student = None if spec.student_id is None else load_artifact(spool.model(spec.student_id))
    made = _distilled(spec, history, teacher, student, incumbent, on_step, ranks)
    if ranks.rank > 0:
        return None
    if spec.compresses:
        made = _compressed(spec, history, teacher, made, on_step)
    on_step(_COMPRESSED, "comparing with the model that serves")
    scores = _scores(made_runtime(made), history)
    told = None if teacher is None else _scores(runtime_of(teacher), history)
    metrics = _own_metrics(scores, told, history)
    folder = save_artifact(
        spool.out,
        made.config,
        made.stored,
        quantization=made.quantization,
        parent_id=spec.teacher_id or spec.student_id or spec.incumbent_id,
        data_sha256={spec.dataset_id: spec.data_sha256},
        splits=history.dates(),
        seed=spec.seed,
        command=f"cs3g jobs submit --kind {spec.kind} --recipe {spec.recipe_id} --seed {spec.seed}",
        training=made.training,
        metrics=metrics,
    )
    own = _scores(runtime_of(incumbent), history)
    verdict = _judged(scores, own, told, history, spec)
    on_step(1.0, verdict.sentence())
    # The rank IC is told by whichever measure is judged.
    told_too = _judged(scores, own, None, history, msgspec.structs.replace(spec, measure="rank-ic")).metrics()
    return JobAnswer(model_id=folder.name, verdict=verdict, metrics=metrics | told_too | verdict.metrics())


def _distilled(
    spec: JobSpec,
    history: JobHistory,
    teacher: Artifact | None,
    student: Artifact | None,
    incumbent: Artifact,
    on_step: OnStep,
    ranks: Ranks,
) -> _Made:
    base = student or incumbent
    # A teacher may serve as the student; then there is no architecture to take over.
    starts_from_teacher = student is None and incumbent.manifest.role == "teacher" and teacher is not None
    config = StudentConfig() if starts_from_teacher else _student_config(base)
    if teacher is None:
        # Nothing teaches: the student is made smaller as it is.
        return _Made(config, dict(base.tensors), None, {"start": base.manifest.model_id})
    teacher_config = teacher.manifest.model_config()
    if not isinstance(teacher_config, TeacherConfig):
        raise JobError(f"model {spec.teacher_id} is a student: `teacher_id` must name a teacher")
    settings = msgspec.convert(spec.recipe.training_changes() | {"seed": spec.seed}, TrainConfig)
    share = _DISTILLED if spec.compresses else _COMPRESSED
    result = distill(
        teacher_config,
        teacher.tensors,
        config,
        history.data,
        spec.recipe,
        settings,
        _fraction_of(on_step, 0.0, share, "distilling"),
        RunOptions(place=CPU, ranks=ranks),
        initial=None if student is None else student.tensors,
    )
    training = {
        "train": msgspec.to_builtins(settings),
        "recipe": msgspec.to_builtins(spec.recipe),
        "start": spec.student_id,
    }
    return _Made(config, dict(result.tensors), None, training)


def _compressed(
    spec: JobSpec, history: JobHistory, teacher: Artifact | None, made: _Made, on_step: OnStep
) -> _Made:
    passes = 0
    if not isinstance(spec.recipe.compression, msgspec.UnsetType):
        passes = spec.recipe.compression.quantize_epochs
    default = CompressConfig().quantize
    assert default is not None  # noqa: S101  # the default trains on rounded weights
    quantize = msgspec.structs.replace(default, epochs=passes, seed=spec.seed) if passes else None
    settings = CompressConfig(quantize=quantize)
    lesson = None
    if teacher is not None:
        teacher_config = teacher.manifest.model_config()
        assert isinstance(teacher_config, TeacherConfig)  # noqa: S101  # `_distilled` has checked
        lesson = teacher_config, teacher.tensors
    result = compress(
        made.config,
        {name: values_of(value) for name, value in made.stored.items()},
        history.data,
        spec.budget_bytes,
        settings,
        teacher=lesson,
        reporter=_Reporter(on_step),
    )
    training = made.training | {
        "compress": msgspec.to_builtins(settings),
        "budget_bytes": spec.budget_bytes,
    }
    return _Made(result.config, result.stored, result.quantization, training)


def made_runtime(made: _Made) -> StreamingModel:
    """Return what would serve, before it has an id."""
    from cs3g_model.compression.integer_inputs import stored_runtime
    from cs3g_model.student_runtime import StudentRuntime

    if made.quantization is not None:
        return stored_runtime(made.config, made.stored, made.quantization.activations, "unsaved")
    tensors = {name: values_of(value) for name, value in made.stored.items()}
    return StudentRuntime(made.config, tensors, "unsaved")


def _student_config(artifact: Artifact) -> StudentConfig:
    config = artifact.manifest.model_config()
    if not isinstance(config, StudentConfig):
        raise JobError(f"model {artifact.manifest.model_id} is a teacher: `student_id` must name a student")
    return config


def _scores(model: StreamingModel, history: JobHistory) -> Float32Array:
    """Score the whole history, (T, N), as a scorer would that has seen it from its begin."""
    x = snapshots_of(history.run)
    scores, _ = model.step_many(x, model.initial_state(x.mask.shape[1]))
    return scores


def _judged(
    candidate: Float32Array,
    incumbent: Float32Array,
    teacher: Float32Array | None,
    history: JobHistory,
    spec: JobSpec,
) -> Verdict:
    part = history.judged
    counts = history.counts[part]
    if spec.measure == "rank-ic":
        return judge(candidate[part], incumbent[part], history.labels[part], counts, spec.margin)
    if teacher is None:
        raise JobError(
            "agreement is measured with a teacher and the job has none: give one, or judge by rank-ic"
        )
    return judge_agreement(candidate[part], incumbent[part], teacher[part], counts, spec.margin)


def _own_metrics(scores: Float32Array, told: Float32Array | None, history: JobHistory) -> dict[str, float]:
    """Return what the manifest says: nothing about the incumbent, or equal students would have two ids."""
    part = history.judged
    own = judge(scores[part], scores[part], history.labels[part], history.counts[part], 1.0)
    metrics = {"judged_rank_ic": own.candidate, "judged_windows": float(own.windows)}
    if told is not None:
        series = agreement(scores[part], told[part], history.counts[part])
        if np.isfinite(series).any():
            metrics["judged_agreement"] = float(np.nanmean(series))
    return metrics


def _fraction_of(on_step: OnStep, start: float, stop: float, what: str) -> OnProgress:
    def tell(p: Progress) -> None:
        done = (p.epoch * p.steps + p.step) / (p.epochs * p.steps)
        on_step(start + (stop - start) * min(done, 1.0), f"{what}, epoch {p.epoch + 1} of {p.epochs}")

    return tell


class _Reporter:
    """Tells a compression's progress as a part of the job's."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step = on_step

    @contextmanager
    def fitting(self, title: str) -> Iterator[OnProgress]:
        """Tell a fit."""
        yield _fraction_of(self._on_step, 0.8, _COMPRESSED, f"compressing ({title})")

    @contextmanager
    def trying(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """Tell trials."""

        def tell(done: int, total: int) -> None:
            self._on_step(_DISTILLED + 0.1 * done / total, f"compressing ({title} {done} of {total})")

        yield tell
