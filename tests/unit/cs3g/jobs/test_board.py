"""What is known of jobs, folded from records in any order."""

from __future__ import annotations

import pytest

from cs3g.jobs.board import JobBoard
from topics.control import JobCancel, JobRequest, JobState, JobStatus


def request(job_id: str = "a", **changes: object) -> JobRequest:
    return JobRequest(**{"job_id": job_id, "kind": "distill", "universe": "u", **changes})


def status(state: JobState, job_id: str = "a", detail: str = "") -> JobStatus:
    return JobStatus(job_id=job_id, state=state, detail=detail)


def board(*records: object, heard_s: float = 0.0) -> JobBoard:
    found = JobBoard()
    for record in records:
        found.take(record, heard_s, 3)
    return found


def test_a_job_goes_from_request_to_its_end() -> None:
    found = board(request())
    assert (found.get("a").state, found.get("a").partition) == ("queued", 3)
    assert [job.job_id for job in found.unfinished()] == ["a"]
    found.take(status("running"), 5.0)
    assert (found.get("a").state, found.get("a").heard_s) == ("running", 5.0)
    found.take(status("succeeded"), 6.0)
    assert found.unfinished() == []
    assert found.get("a").has_ended


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
@pytest.mark.parametrize("later", ["queued", "running", "succeeded", "failed"])
def test_what_has_ended_stays_ended(end: JobState, later: JobState) -> None:
    found = board(request(), status(end, detail="first"), status(later, detail="later"))
    assert (found.get("a").state, found.get("a").status.detail) == (end, "first")


def test_a_second_request_and_a_second_cancellation_change_nothing() -> None:
    found = board(request(seed=1), request(seed=2), JobCancel(job_id="a", reason="x"), JobCancel(job_id="a"))
    assert found.get("a").request.seed == 1
    assert found.get("a").cancel_reason == "x"


def test_a_cancellation_may_be_read_before_the_request() -> None:
    found = board(JobCancel(job_id="a", reason="x"), request())
    assert found.get("a").cancel_reason == "x"
    assert [job.job_id for job in found.unfinished()] == ["a"]


def test_statuses_without_a_request_are_known_but_nobodys_work() -> None:
    found = board(status("running", "b"))
    assert found.get("b").state == "running"
    assert found.unfinished() == []
    assert found.get("nobody").state == "queued"


def test_silence_is_measured_from_the_last_word() -> None:
    found = board(request(), heard_s=10.0)
    assert not found.get("a").is_silent(14.9, 5.0)
    assert found.get("a").is_silent(15.1, 5.0)
    found.take(status("running"), 14.0)
    found.take(status("running"), 12.0)  # an older word read later
    assert not found.get("a").is_silent(18.9, 5.0)
