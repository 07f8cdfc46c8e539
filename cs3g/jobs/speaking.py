"""Writing about jobs: a job that nobody writes about counts as left alone."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import msgspec

from cs3g.jobs.board import JobBoard
from cs3g.jobs.result import one_line
from cs3g.jobs.spec import JobEvent
from pipeline.config import PipelineConfig
from topics.connection import producer_client
from topics.control import JobRequest, JobStatus
from topics.messages import control_message

__all__ = ["JobSpeaker"]


class JobSpeaker:
    """What one worker writes to the topic of statuses; a context manager. Mutates self.

    Parameters
    ----------
    config
        Broker and topics.
    lease_s
        After so long without a word about it, a job counts as left alone.
    """

    def __init__(self, config: PipelineConfig, lease_s: float) -> None:
        self._config = config
        self._lease_s = lease_s
        self._stack = AsyncExitStack()
        self._producer: Any = None
        self._event = JobEvent(progress=0.0, detail="")
        self._current: JobRequest | None = None

    async def __aenter__(self) -> Self:
        """Connect.

        Raises
        ------
        BrokerUnavailable
            Nobody answers.
        """
        self._producer = await self._stack.enter_async_context(
            producer_client(self._config.bootstrap_servers)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def current(self) -> JobRequest | None:
        """The job in hand."""
        return self._current

    def begin(self, request: JobRequest) -> None:
        """Take a job in hand."""
        self._current = request

    def end(self) -> None:
        """Have no job in hand any more."""
        self._current = None

    def hear(self, event: JobEvent) -> None:
        """Take note of how far the job in hand is; it is told with the next word about it."""
        self._event = event

    async def say(self, status: JobStatus) -> None:
        """Write a status, and return when the broker has it."""
        config = self._config
        status = msgspec.structs.replace(status, updated_ns=time.time_ns())
        message = control_message(status, run_id=config.run_id, mode=config.mode, key=status.job_id.encode())
        await self._producer.send_and_wait(
            config.topics.distill_status, value=message.value, key=message.key, headers=message.headers
        )

    async def say_running(self) -> None:
        """Write how far the job in hand is, if there is one."""
        if self._current is not None:
            event = self._event
            await self.say(
                JobStatus(
                    job_id=self._current.job_id,
                    state="running",
                    progress=event.progress,
                    detail=one_line(event.detail),
                )
            )

    async def say_queued(self, board: JobBoard, partitions: Collection[int]) -> None:
        """Write about the jobs that wait for this worker and of which nobody has written for half a lease."""
        now_s = time.monotonic()
        for job in board.unfinished():
            current_id = None if self._current is None else self._current.job_id
            waits = job.partition in partitions and job.state == "queued" and job.job_id != current_id
            if waits and job.is_silent(now_s, self._lease_s / 2):
                detail = "" if job.status is None else job.status.detail
                await self.say(JobStatus(job_id=job.job_id, state="queued", detail=detail))
