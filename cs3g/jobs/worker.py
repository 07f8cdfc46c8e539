"""A job worker: takes jobs from the shared topic one at a time and sees each to its one terminal record.

The order at the end of a job is what makes a kill at any moment harmless: model, activation, terminal record,
announcement, status, offset. Each step is idempotent for the job, and whoever takes it over begins again from
what is there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Final

import msgspec

from cs3g.jobs.board import Job
from cs3g.jobs.doing import JobStopped, JobWatch, do_request
from cs3g.jobs.following import JobFollower
from cs3g.jobs.result import JobResult, ended_without_model, one_line, status_of
from cs3g.jobs.settings import WorkerSettings
from cs3g.jobs.speaking import JobSpeaker
from cs3g.jobs.spec import JobEvent
from pipeline.config import PipelineConfig
from pipeline.registry import Registry, RegistryError, RegistryTamperedError
from topics.control import JobRequest, JobStatus
from topics.job_queue import JobQueue, QueuedJob

__all__ = ["JobWorker", "jobs_group"]

_LOG: Final = logging.getLogger(__name__)

_POLL_MS: Final = 200
_SAYS_PER_LEASE: Final = 4


def jobs_group(config: PipelineConfig) -> str:
    """Return the consumer group that job workers share."""
    return f"{config.topic_prefix}cs3g.{config.universe}.jobs"


class JobWorker:
    """One worker. Mutates self; `run` is called once.

    Parameters
    ----------
    config
        Broker, topics and universe.
    registry
        Where models go.
    settings
        Of the jobs.
    worker_id
        For logs and the broker.
    """

    def __init__(
        self, config: PipelineConfig, registry: Registry, settings: WorkerSettings, worker_id: str
    ) -> None:
        self._config = config
        self._registry = registry
        self._settings = settings
        self._client_id = f"{jobs_group(config)}.{worker_id}.{os.getpid()}-{os.urandom(3).hex()}"
        self._follower = JobFollower(config.bootstrap_servers, config.topics)
        self._queue = JobQueue(
            config.bootstrap_servers,
            config.topics.distill_jobs,
            group_id=jobs_group(config),
            client_id=self._client_id,
        )
        self._speaker = JobSpeaker(config, settings.lease_s)
        self._over = asyncio.Event()
        self._watch: JobWatch | None = None
        self._evicted_s = float("-inf")

    async def run(self, stop: asyncio.Event, limit: int | None = None) -> int:
        """Take jobs until told to stop, or until so many have ended; returns how many have.

        Raises
        ------
        topics.errors.TopicError
            The broker does not answer, or a topic is not there.
        """
        async with self._speaker, self._follower, self._queue:
            taking = asyncio.create_task(self._take_jobs(stop, limit))
            tasks = [taking, *map(asyncio.create_task, (self._follow(), self._speak(), self._heed(stop)))]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            # Ended by a flag, never by cancellation, which aiokafka loses at times.
            self._end()
            await asyncio.wait(tasks)
            for task in tasks:
                task.result()
            return taking.result()

    def _end(self) -> None:
        self._over.set()
        if self._watch is not None:
            self._watch.stop.set()

    async def _take_jobs(self, stop: asyncio.Event, limit: int | None) -> int:
        done = 0
        while not stop.is_set() and not self._over.is_set() and (limit is None or done < limit):
            await self._queue.poll(_POLL_MS)
            head = await self._next_job()
            if head is not None and await self._take(head):
                done += 1
        self._over.set()
        return done

    async def _next_job(self) -> QueuedJob | None:
        """Return a job that this worker may begin; what is no job is finished on the way."""
        for head in self._queue.heads():
            if head.record is None:
                _LOG.warning("offset %d of partition %d: %s", head.offset, head.partition, head.problem)
            if not isinstance(head.record, JobRequest):
                await self._queue.finish(head)  # cancellations are read along, not taken from the queue
                continue
            await self._follower.catch_up()
            if not self._runs_elsewhere(self._follower.board.get(head.record.job_id)):
                return head
        return None

    def _runs_elsewhere(self, job: Job) -> bool:
        # Its partition has moved here while its worker lives: the one who began the job ends it.
        return job.state == "running" and not job.is_silent(time.monotonic(), self._settings.lease_s)

    async def _take(self, head: QueuedJob) -> bool:
        """Do a job; returns whether it has ended."""
        request = head.record
        assert isinstance(request, JobRequest)  # noqa: S101  # `_next_job` returns no other
        result = await self._found(request)
        if result is None:
            result = await self._result_of(request)
        if result is None:
            return False
        await self._announce(result)
        await self._speaker.say(status_of(result, time.time_ns()))
        await self._queue.finish(head)
        return True

    async def _result_of(self, request: JobRequest) -> JobResult | None:
        watch = JobWatch()
        self._watch = watch
        self._speaker.begin(request)
        try:
            reason = self._follower.board.get(request.job_id).cancel_reason
            if reason is not None:
                watch.cancel(reason)
            self._speaker.hear(JobEvent(progress=0.0, detail="taken"))
            await self._speaker.say_running()
            try:
                result = await do_request(
                    request, self._config, self._registry, self._settings, watch, self._speaker.hear
                )
            except JobStopped:
                await self._speaker.say(
                    JobStatus(job_id=request.job_id, state="queued", detail="its worker has stopped")
                )
                return None
            return await self._kept(request, result)
        finally:
            self._watch = None
            self._speaker.end()

    async def _found(self, request: JobRequest) -> JobResult | None:
        """Return the terminal record that the job has already."""
        try:
            stands = await asyncio.to_thread(self._registry.job, request.job_id)
            return None if stands is None else msgspec.convert(stands, JobResult)
        except (RegistryTamperedError, msgspec.ValidationError) as error:
            # The name is taken for ever: the job has ended, only nobody can say how.
            reason = f"its result cannot be read: {error}"
            return ended_without_model(request.job_id, request.universe, "failed", reason)

    async def _kept(self, request: JobRequest, result: JobResult) -> JobResult | None:
        """Return the job's one terminal record: this one, or that of a worker that was quicker."""
        while True:
            try:
                value = msgspec.to_builtins(result)
                stands = await asyncio.to_thread(self._registry.record_job, result.job_id, value)
                return msgspec.convert(stands, JobResult)
            except RegistryError as error:
                # A full disk: without a record the job must not count as done, so it waits, and says so.
                self._speaker.hear(
                    JobEvent(progress=1.0, detail=one_line(f"waits to write its result: {error}"))
                )
                await self._speaker.say_running()
            if await self._ends_meanwhile():
                return None

    async def _announce(self, result: JobResult) -> None:
        if result.activation_seq is None:
            return
        from cs3g.announcing import announce

        active = await asyncio.to_thread(self._registry.active, self._config.universe, "student")
        # The topic is compacted: an old activation announced late would hide the newer one.
        if active is not None and active.seq == result.activation_seq:
            await announce(self._config, active)

    async def _follow(self) -> None:
        while not self._over.is_set():
            await self._follower.poll(_POLL_MS)
            watch, current = self._watch, self._speaker.current
            if watch is not None and current is not None:
                reason = self._follower.board.get(current.job_id).cancel_reason
                if reason is not None and watch.cancel_reason is None:
                    watch.cancel(reason)

    async def _speak(self) -> None:
        """Say what this worker has in hand, often enough that nobody thinks it dead, and notice who is."""
        while not self._over.is_set():
            await self._speaker.say_running()
            await self._speaker.say_queued(self._follower.board, self._queue.partitions)
            await self._evict_the_dead()
            await self._ends_meanwhile()

    async def _ends_meanwhile(self) -> bool:
        """Wait until it is time to write about a job again; return whether the worker was told to stop."""
        try:
            async with asyncio.timeout(self._settings.lease_s / _SAYS_PER_LEASE):
                await self._over.wait()
        except TimeoutError:
            return False
        return True

    async def _evict_the_dead(self) -> None:
        """Put out members that let a job lie: the embedded broker believes in a killed one for ever."""
        now_s, lease_s, mine = time.monotonic(), self._settings.lease_s, self._queue.partitions
        silent = [
            job.job_id
            for job in self._follower.board.unfinished()
            if job.partition not in mine and job.is_silent(now_s, lease_s)
        ]
        if silent and now_s - self._evicted_s > lease_s:
            self._evicted_s = now_s
            others = await self._queue.evict_others()
            _LOG.warning("nobody works on %s: put %s out of the group", ", ".join(silent), others or "nobody")

    async def _heed(self, stop: asyncio.Event) -> None:
        stopping, over = asyncio.create_task(stop.wait()), asyncio.create_task(self._over.wait())
        await asyncio.wait({stopping, over}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            self._end()
        for task in (stopping, over):
            task.cancel()
