"""One job from its request to its result: plan, data, process, registry, promotion. No queue, no statuses."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from cs3g.jobs.errors import JobError
from cs3g.jobs.history_data import read_live_graphs
from cs3g.jobs.plan import JobPlan, plan_job
from cs3g.jobs.result import JobResult, ended_without_model, one_line
from cs3g.jobs.running import run_process
from cs3g.jobs.settings import WorkerSettings
from cs3g.jobs.spec import JobAnswer, JobEvent
from cs3g.jobs.spool import Spool, graph_bytes, graphs_sha256
from cs3g_model.errors import ModelError
from pipeline.config import PipelineConfig
from pipeline.errors import PipelineError
from pipeline.registry import ActivationConflictError, Lineage, Registry
from topics.control import JobRequest
from topics.runs import GraphRun

__all__ = ["JobStopped", "JobWatch", "do_request"]

_LOG: Final = logging.getLogger(__name__)

OnEvent = Callable[[JobEvent], None]


class JobStopped(Exception):
    """The worker ends; the job is another one's from here on."""


@dataclass(slots=True)
class JobWatch:
    """What a job's end may be wanted for; whoever wants it sets it. Mutated by its owner.

    Attributes
    ----------
    stop
        Set to have the job's process stopped.
    cancel_reason
        Why a person wants the job to end; None if it is the worker that ends.
    """

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    cancel_reason: str | None = None

    def cancel(self, reason: str) -> None:
        """End the job for good."""
        self.cancel_reason = reason
        self.stop.set()


async def do_request(
    request: JobRequest,
    config: PipelineConfig,
    registry: Registry,
    settings: WorkerSettings,
    watch: JobWatch,
    on_event: OnEvent,
) -> JobResult:
    """Do a job; whatever is wrong with it is its result.

    Raises
    ------
    JobStopped
        `watch` was set without a reason.
    topics.errors.TopicError
        The broker does not answer; nothing is wrong with the job.
    """
    spool = Spool(settings.spool / request.job_id)
    try:
        _heed(watch)
        on_event(JobEvent(progress=0.0, detail="looking up models, recipe and data"))
        plan = await asyncio.to_thread(
            plan_job, request, config, registry, datasets=settings.datasets, recipes=settings.recipes
        )
        run = await _history(request, plan, config)
        await asyncio.to_thread(_fill, spool, request, plan, run, settings)
        answer = await _attempts(spool, settings, watch, on_event)
        return await asyncio.to_thread(promote, request, plan, answer, spool, registry)
    except _Cancelled as end:
        return ended_without_model(request.job_id, request.universe, "cancelled", str(end))
    except (JobError, ModelError, PipelineError, OSError) as error:
        return ended_without_model(request.job_id, request.universe, "failed", str(error))
    finally:
        await asyncio.to_thread(shutil.rmtree, spool.folder, ignore_errors=True)


def promote(
    request: JobRequest, plan: JobPlan, answer: JobAnswer, spool: Spool, registry: Registry
) -> JobResult:
    """Put a job's model into the registry, and into service if it may be. Idempotent for a job.

    Raises
    ------
    ModelError, PipelineError, OSError
        If the model cannot be added; nothing is active then that was not before.
    """
    verdict, made = answer.verdict, answer.model_id
    assert verdict is not None  # noqa: S101  # an answer without an error has both
    assert made is not None  # noqa: S101
    spec = spool.spec()
    recipe = msgspec.json.encode(spec.recipe, order="sorted")
    lineage = Lineage(
        model_id=made,
        parent_id=plan.teacher_id or plan.student_id or plan.incumbent_id,
        incumbent_id=plan.incumbent_id,
        job_id=request.job_id,
        dataset_id=plan.dataset_id,
        recipe_id=plan.recipe_id,
        data_digest=f"sha256:{spec.data_sha256}",
        recipe_digest=f"sha256:{hashlib.sha256(recipe).hexdigest()}",
        seed=request.seed,
        from_ts_close=request.from_ts_close,
        to_ts_close=request.to_ts_close,
        metrics=verdict.metrics(),
        detail=one_line(f"{request.reason}: {verdict.sentence()}" if request.reason else verdict.sentence()),
        created_ns=time.time_ns(),
    )
    model_id = registry.add(spool.out / made, lineage)
    seq, what = None, ""
    waits = f"it waits for `cs3g models activate {model_id}`"
    if not verdict.non_inferior:
        what = waits
    elif request.promotion == "manual":
        what = f"promotion is manual: {waits}"
    else:
        try:
            activation = registry.activate(
                request.universe,
                "student",
                model_id,
                since_ts_close=request.since_ts_close,
                job_id=request.job_id,
                expected_seq=plan.incumbent_seq,
                detail=one_line(f"job {request.job_id}: {verdict.sentence()}"),
            )
        except ActivationConflictError as error:
            what = f"another model was activated meanwhile ({error}): {waits}"
        else:
            seq = activation.seq
            what = f"activated as number {seq}"
    return JobResult(
        job_id=request.job_id,
        universe=request.universe,
        state="succeeded",
        detail=one_line(f"{verdict.sentence()}; {what}"),
        model_id=model_id,
        incumbent_id=plan.incumbent_id,
        activation_seq=seq,
        metrics=answer.metrics,
    )


class _Cancelled(Exception):
    pass


def _heed(watch: JobWatch) -> None:
    if watch.cancel_reason is not None:
        raise _Cancelled(watch.cancel_reason or "cancelled")
    if watch.stop.is_set():
        raise JobStopped


async def _history(request: JobRequest, plan: JobPlan, config: PipelineConfig) -> GraphRun:
    if plan.archive is None:
        return await read_live_graphs(config, request.from_ts_close, request.to_ts_close)
    from pipeline.graph_archive import read_graph_archive

    return await asyncio.to_thread(
        read_graph_archive,
        plan.archive,
        from_ts_close=request.from_ts_close,
        to_ts_close=request.to_ts_close,
        universe=request.universe,
    )


def _fill(spool: Spool, request: JobRequest, plan: JobPlan, run: GraphRun, settings: WorkerSettings) -> None:
    data = graph_bytes(run)
    spec = plan.spec(request, graphs_sha256(data), settings.margin, settings.measure)
    spool.write(spec, data, plan.models)


async def _attempts(spool: Spool, settings: WorkerSettings, watch: JobWatch, on_event: OnEvent) -> JobAnswer:
    command = settings.command(settings.engine, spool.folder)
    for attempt in range(1, settings.attempts + 1):
        _heed(watch)
        spool.clear_answer()
        ended = await run_process(
            command, spool.log, timeout_s=settings.timeout_s, on_event=on_event, stop=watch.stop
        )
        if ended.how == "stopped":
            _heed(watch)
        if ended.how == "timeout":
            raise JobError(f"the job took longer than {settings.timeout_s:g} s and was stopped")
        answer = spool.answer()
        if answer is not None and answer.error:
            raise JobError(answer.error)
        if answer is not None:
            return answer
        told = f": {ended.tail}" if ended.tail else ""
        _LOG.warning(
            "attempt %d of %s ended with status %d%s", attempt, spool.folder.name, ended.status, told
        )
        on_event(JobEvent(progress=0.0, detail=f"attempt {attempt} crashed with status {ended.status}"))
    raise JobError(
        f"the job's process crashed {settings.attempts} times, the last time with status {ended.status}{told}"
    )
