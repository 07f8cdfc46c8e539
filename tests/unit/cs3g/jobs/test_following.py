"""When somebody last wrote about a job: by the writer's clock, but a request bears event time."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from cs3g.jobs.following import JobFollower
from topics.control import JobRequest, JobStatus
from topics.messages import control_message
from topics.specs import topic_names

LEASE_S = 30.0


def record_of(content: JobRequest | JobStatus, timestamp_s: float) -> Any:
    message = control_message(content, run_id="r", mode="replay", key=b"job")
    return SimpleNamespace(
        topic="t",
        offset=0,
        partition=2,
        value=message.value,
        headers=message.headers,
        timestamp=timestamp_s * 1000,
    )


@pytest.mark.parametrize("requested_s", [1_260_000_000.0, time.time()], ids=["replayed", "today"])
def test_a_request_is_new_when_it_is_read_whatever_day_it_is_of(requested_s: float) -> None:
    follower = JobFollower("127.0.0.1:1", topic_names("replay.r."))
    request = JobRequest(job_id="job", kind="distill", universe="u", requested_ns=int(requested_s * 1e9))
    follower._take(record_of(request, requested_s))
    job = follower.board.get("job")
    assert (job.request, job.partition) == (request, 2)
    assert not job.is_silent(time.monotonic(), LEASE_S)
    assert job.is_silent(time.monotonic() + LEASE_S + 1, LEASE_S)


@pytest.mark.parametrize(("age_s", "is_silent"), [(LEASE_S + 5, True), (LEASE_S - 5, False)])
def test_a_status_is_as_old_as_its_writer_says(age_s: float, is_silent: bool) -> None:
    follower = JobFollower("127.0.0.1:1", topic_names("replay.r."))
    follower._take(record_of(JobStatus(job_id="job", state="running"), time.time() - age_s))
    assert follower.board.get("job").is_silent(time.monotonic(), LEASE_S) is is_silent
