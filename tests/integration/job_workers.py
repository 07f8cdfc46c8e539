"""Job workers of a test's own, in this process or as processes that can be killed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cs3g.jobs.board import Job
from cs3g.jobs.engines import EngineConfig
from cs3g.jobs.following import JobFollower
from cs3g.jobs.sending import send_record
from cs3g.jobs.settings import WorkerSettings
from cs3g.jobs.worker import JobWorker
from pipeline.config import PipelineConfig, load_config
from pipeline.registry import Registry
from tests import small_jobs
from tests.integration.broker_topics import make_topics, send
from topics.control import JobRequest
from topics.cuts import slice_graphs
from topics.messages import graph_message
from topics.specs import replay_prefix

QUICK_JOB = Path(__file__).with_name("quick_job.py")
LEASE_S = 1.0


def quick_command(engine: EngineConfig, folder: Path) -> list[str]:
    return [sys.executable, str(QUICK_JOB), str(folder)]


def settings(spool: Path, **changes: object) -> WorkerSettings:
    values: dict[str, object] = {
        "spool": spool,
        "lease_s": LEASE_S,
        "timeout_s": 60.0,
        "command": quick_command,
    }
    return WorkerSettings(**{**values, **changes})  # type: ignore[arg-type]


async def prepare(bootstrap: str, run_id: str, root: Path) -> tuple[PipelineConfig, Registry, str, str]:
    """Make topics with snapshots, and a registry with a teacher and a student that serves."""
    names = await make_topics(bootstrap, run_id)
    run = small_jobs.small_graphs()
    pieces = [
        slice_graphs(run, start, min(start + 20, len(run.ts_close)))
        for start in range(0, len(run.ts_close), 20)
    ]
    # The second piece twice, as after a crash of the graph stage.
    messages = [graph_message(piece, run_id=run_id, mode="replay") for piece in (*pieces[:2], *pieces[1:])]
    await send(bootstrap, names.graphs, messages)
    config = load_config(
        bootstrap_servers=bootstrap,
        topic_prefix=replay_prefix(run_id),
        universe=small_jobs.UNIVERSE,
        mode="replay",
        run_id=run_id,
    )
    registry = Registry(root / "registry")
    teacher = registry.add(small_jobs.save_teacher(root / "made"))
    student = registry.add(small_jobs.save_student(root / "made"))
    registry.activate(small_jobs.UNIVERSE, "student", student)
    return config, registry, teacher, student


@asynccontextmanager
async def working(
    config: PipelineConfig, registry: Registry, chosen: WorkerSettings, name: str = "a"
) -> AsyncIterator[JobWorker]:
    """Run a worker beside the test; a worker that fails fails the test."""
    stop = asyncio.Event()
    worker = JobWorker(config, registry, chosen, name)
    running = asyncio.create_task(worker.run(stop))
    try:
        yield worker
    finally:
        stop.set()
        await running


async def submit(config: PipelineConfig, job_id: str, teacher: str, **changes: object) -> None:
    values: dict[str, object] = {
        "job_id": job_id,
        "kind": "distill",
        "universe": config.universe,
        "teacher_id": teacher,
    }
    await send_record(config, JobRequest(**{**values, **changes}))  # type: ignore[arg-type]


async def ended(config: PipelineConfig, *job_ids: str, timeout_s: float = 60.0) -> list[Job]:
    """Wait for jobs to end."""

    def done(follower: JobFollower) -> bool:
        return all(follower.board.get(job_id).has_ended for job_id in job_ids)

    return await waited(config, done, *job_ids, timeout_s=timeout_s)


async def running(
    config: PipelineConfig, job_id: str, told: Callable[[str], bool] = "half done".__eq__
) -> None:
    """Wait until a running job's status has such a detail."""

    def runs(follower: JobFollower) -> bool:
        status = follower.board.get(job_id).status
        return status is not None and status.state == "running" and told(status.detail)

    await waited(config, runs, job_id)


async def waited(
    config: PipelineConfig, condition: Callable[[JobFollower], bool], *job_ids: str, timeout_s: float = 60.0
) -> list[Job]:
    async with JobFollower(config.bootstrap_servers, config.topics) as follower, asyncio.timeout(timeout_s):
        while not condition(follower):
            await follower.poll(100)
        return [follower.board.get(job_id) for job_id in job_ids]


def set_environment(config: PipelineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands find the topics of a configuration."""
    for name in ("bootstrap_servers", "topic_prefix", "universe", "mode", "run_id"):
        monkeypatch.setenv(f"CS3G_{name.upper()}", str(getattr(config, name)))


def write_small_recipe(folder: Path) -> None:
    """Make a folder of recipes with one, `small`, that takes a second."""
    folder.mkdir()
    (folder / "small.toml").write_text(
        "[[stages]]\nname = 'all'\nlosses = { soft = 1 }\n[training]\nepochs = 1\nchunk = 8\nchecks = 1\n"
    )
