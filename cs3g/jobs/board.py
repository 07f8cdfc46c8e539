"""What is known of all jobs, folded from their topics: who asked, what became of it, and who is heard of.

A job that has ended stays ended, whatever comes later: the record of a worker that was thought dead must not
bring it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from topics.control import ControlRecord, JobCancel, JobRequest, JobState, JobStatus

__all__ = ["TERMINAL", "Job", "JobBoard"]

TERMINAL: Final[frozenset[JobState]] = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Job:
    """One job.

    Attributes
    ----------
    request
        None if only statuses of it are known.
    partition
        Of the topic of jobs; -1 where the request is not known.
    status
        The first that ended it, else the last.
    cancel_reason
        None as long as nobody wants it to end.
    heard_s
        When somebody last wrote about it, on the reader's clock.
    """

    job_id: str
    request: JobRequest | None = None
    partition: int = -1
    status: JobStatus | None = None
    cancel_reason: str | None = None
    heard_s: float = float("-inf")

    @property
    def state(self) -> JobState:
        """Where it stands; `queued` until somebody says else."""
        return "queued" if self.status is None else self.status.state

    @property
    def has_ended(self) -> bool:
        """Whether it is over."""
        return self.state in TERMINAL

    def is_silent(self, now_s: float, lease_s: float) -> bool:
        """Whether nobody has written about it for the time that a living worker would not let pass."""
        return now_s - self.heard_s > lease_s


class JobBoard:
    """The jobs by id, in the order in which they were first heard of. Mutates self."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    def take(self, record: ControlRecord, heard_s: float, partition: int = -1) -> None:
        """Fold a record of the topics of jobs and statuses.

        Parameters
        ----------
        heard_s
            When it was written, on the reader's clock.
        partition
            Where a request lies.
        """
        if isinstance(record, JobRequest):
            job = self._job(record.job_id)
            if job.request is None:  # a second request of the same id is the same job
                heard_s = max(heard_s, job.heard_s)
                self._jobs[job.job_id] = replace(job, request=record, partition=partition, heard_s=heard_s)
        elif isinstance(record, JobCancel):
            job = self._job(record.job_id)
            if job.cancel_reason is None:
                self._jobs[job.job_id] = replace(job, cancel_reason=record.reason)
        elif isinstance(record, JobStatus):
            job = self._job(record.job_id)
            status = job.status if job.has_ended else record
            self._jobs[job.job_id] = replace(job, status=status, heard_s=max(heard_s, job.heard_s))

    def get(self, job_id: str) -> Job:
        """Return what is known of a job, be it nothing."""
        return self._jobs.get(job_id, Job(job_id))

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def unfinished(self) -> list[Job]:
        """Return the jobs that were requested and have not ended."""
        return [job for job in self._jobs.values() if job.request is not None and not job.has_ended]

    def _job(self, job_id: str) -> Job:
        return self._jobs.setdefault(job_id, Job(job_id))
