"""How a job ended, as it is kept in the registry and told on the topic of statuses."""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec

from topics.control import JobState, JobStatus

__all__ = ["JobResult", "ended_without_model", "one_line", "status_of"]

_MAX_DETAIL: Final = 1000


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """A job's one terminal record; nothing in it depends on who did the job, or how often it was begun.

    Attributes
    ----------
    state
        `succeeded`, `failed` or `cancelled`.
    detail
        One line: the verdict and what follows from it, or why there is no model.
    incumbent_id
        The model that the new one was compared with.
    activation_seq
        Number of the activation that the job made; None where the model waits for a person, or there is none.
    """

    job_id: str
    universe: str
    state: Literal["succeeded", "failed", "cancelled"]
    detail: str
    model_id: str | None = None
    incumbent_id: str | None = None
    activation_seq: int | None = None
    metrics: dict[str, float] = {}


def ended_without_model(
    job_id: str, universe: str, state: Literal["failed", "cancelled"], reason: str
) -> JobResult:
    """Return the result of a job that made no model; the reason is put on one line."""
    return JobResult(job_id=job_id, universe=universe, state=state, detail=one_line(reason))


def one_line(text: str) -> str:
    """Return a text as one line that fits a status."""
    return " ".join(text.split())[:_MAX_DETAIL]


def status_of(result: JobResult, now_ns: int) -> JobStatus:
    """Return the status that tells a result."""
    state: JobState = result.state
    return JobStatus(
        job_id=result.job_id,
        state=state,
        progress=1.0,
        detail=result.detail,
        model_id=result.model_id,
        metrics={name: value for name, value in result.metrics.items() if math.isfinite(value)},
        updated_ns=now_ns,
    )
