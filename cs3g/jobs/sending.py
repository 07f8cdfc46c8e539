"""Asking for jobs and looking at them, from outside of any worker."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from cs3g.jobs.board import JobBoard
from cs3g.jobs.errors import JobError
from cs3g.jobs.following import JobFollower
from pipeline.config import PipelineConfig
from pipeline.trigger import manual_decision
from topics.connection import producer_client
from topics.control import JobCancel, JobRequest
from topics.messages import control_message

__all__ = ["job_rows", "parse_time", "read_board", "require_job", "send_record"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


async def send_record(config: PipelineConfig, record: JobRequest | JobCancel) -> None:
    """Put a request or a cancellation on the topic of jobs, acknowledged; a request's record among the decisions too.

    Raises
    ------
    topics.errors.SchemaError
        A field breaks its rule, such as an id with a slash.
    topics.errors.TopicError
        The broker does not answer, or the topic is not there.
    """
    message = control_message(record, run_id=config.run_id, mode=config.mode, key=record.job_id.encode())
    sent = [(config.topics.distill_jobs, message)]
    if isinstance(record, JobRequest):
        decision = control_message(
            manual_decision(record), run_id=config.run_id, mode=config.mode, key=config.universe.encode()
        )
        sent.append((config.topics.distill_decisions, decision))
    async with JobFollower(config.bootstrap_servers, config.topics):
        pass  # says which topic is missing, where the producer would wait for it
    async with producer_client(config.bootstrap_servers) as producer:
        for topic, message in sent:
            await producer.send_and_wait(topic, value=message.value, key=message.key, headers=message.headers)


async def read_board(config: PipelineConfig) -> JobBoard:
    """Return what the topics say of all jobs now."""
    async with JobFollower(config.bootstrap_servers, config.topics) as follower:
        return follower.board


async def require_job(config: PipelineConfig, job_id: str) -> None:
    """Check that a job was requested and has not ended.

    Raises
    ------
    JobError
        If it was not, or has.
    """
    job = (await read_board(config)).get(job_id)
    if job.request is None:
        raise JobError(f"no job is called {job_id!r}: `cs3g jobs list` shows those there are")
    if job.has_ended:
        raise JobError(f"job {job_id!r} has ended already: {job.state}")


def job_rows(board: JobBoard, universe: str) -> list[dict[str, Any]]:
    """Return a universe's jobs as plain values, in the order in which they came."""
    rows = []
    for job in board:
        request, status = job.request, job.status
        if request is not None and request.universe != universe:
            continue
        rows.append(
            {
                "job_id": job.job_id,
                "kind": None if request is None else request.kind,
                "universe": universe if request is None else request.universe,
                "state": job.state,
                "progress": 0.0 if status is None else status.progress,
                "detail": "" if status is None else status.detail,
                "reason": "" if request is None else request.reason,
                "model_id": None if status is None else status.model_id,
                "metrics": {} if status is None else status.metrics,
                "requested_ns": 0 if request is None else request.requested_ns,
                "updated_ns": 0 if status is None else status.updated_ns,
                "cancel_reason": job.cancel_reason,
            }
        )
    return rows


def parse_time(option: str, text: str | None) -> int:
    """Return a time in ns since the epoch from such a number or from ISO 8601, UTC; 0 for None.

    Raises
    ------
    JobError
        If it is neither, or before 1970.
    """
    if text is None:
        return 0
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise JobError(f"{option} (={text!r}) must be ns since the epoch or ISO 8601: {error}") from error
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    ns = (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
    if ns < 0:
        raise JobError(f"{option} (={text!r}) must not be before 1970")
    return ns
