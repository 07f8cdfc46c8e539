"""Times of requests, and rows of the list."""

from __future__ import annotations

import pytest

from cs3g.jobs.board import JobBoard
from cs3g.jobs.errors import JobError
from cs3g.jobs.sending import job_rows, parse_time
from topics.control import JobRequest, JobStatus


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        (None, 0),
        ("17", 17),
        ("1970-01-02", 86_400 * 10**9),
        ("1970-01-01T00:00:01.000002", 1_000_002_000),
        ("1970-01-01T02:00:00+02:00", 0),
    ],
)
def test_times_are_ns_or_iso(text: str | None, ns: int) -> None:
    assert parse_time("--from", text) == ns


@pytest.mark.parametrize("text", ["yesterday", "-5", "1969-12-31", ""])
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(JobError, match="--to"):
        parse_time("--to", text)


def test_rows_are_of_one_universe_in_order() -> None:
    board = JobBoard()
    for n, universe in enumerate(("u", "v", "u")):
        board.take(JobRequest(job_id=f"j{n}", kind="distill", universe=universe, reason="r"), 0.0)
    board.take(JobStatus(job_id="j2", state="running", progress=0.5, detail="d"), 1.0)
    rows = job_rows(board, "u")
    assert [(row["job_id"], row["state"], row["detail"], row["reason"]) for row in rows] == [
        ("j0", "queued", "", "r"),
        ("j2", "running", "d", "r"),
    ]
