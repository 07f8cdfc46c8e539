"""Requests that cannot be met: a failed status of one line each, and nothing that was active has changed."""

from __future__ import annotations

import asyncio
import errno
import shutil
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from cs3g.jobs.plan import plan_job
from pipeline.registry import Registry
from tests import small_jobs
from tests.integration.broker_topics import send
from tests.integration.job_workers import ended, prepare, running, settings, submit, working
from tests.integration.quick_job import GOOD, SLOW
from topics.control import JobRequest, JobStatus
from topics.envelope import Message
from topics.messages import control_message

pytestmark = pytest.mark.broker

UNIVERSE = "small"


async def test_unknown_and_damaged_things_fail_in_one_line(
    bootstrap_servers: str, run_id: str, tmp_path: Path
) -> None:
    config, registry, teacher, student = await prepare(bootstrap_servers, run_id, tmp_path)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "broken.toml").write_text("[[stages]\n")
    (tmp_path / "recipes" / "odd.toml").write_text("[[stages]]\nname = 'a'\nlosses = { sofd = 1 }\n")
    (tmp_path / "sets" / "empty").mkdir(parents=True)
    damaged = registry.add(small_jobs.save_teacher(tmp_path / "made", seed=5))
    weights = registry.get(damaged) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    chosen = settings(tmp_path / "spool", recipes=tmp_path / "recipes", datasets=tmp_path / "sets")
    last = int(small_jobs.small_graphs().ts_close[-1])
    bad: dict[str, tuple[dict[str, Any], str]] = {
        "model": ({"teacher_id": "0123456789abcdef"}, "no model '0123456789abcdef'"),
        "role": ({"teacher_id": student}, "must name a teacher"),
        "start": ({"student_id": teacher}, "must name a student"),
        "recipe": ({"recipe_id": "defualt"}, "no recipe is called 'defualt'"),
        "toml": ({"recipe_id": "broken"}, "recipe"),
        "loss": ({"recipe_id": "odd"}, "sofd"),
        "dataset": ({"dataset_id": "elsewhere"}, "no data set is called 'elsewhere'"),
        "archive": ({"dataset_id": "empty"}, "empty"),
        "tampered": ({"teacher_id": damaged}, "sha256"),
        "range": ({"from_ts_close": last}, "holds no window"),
        "universe": ({"universe": "other"}, "this worker serves 'small'"),
    }
    async with working(config, registry, chosen):
        # What is no request at all is stepped over.
        await send(bootstrap_servers, config.topics.distill_jobs, [Message(b"k", b"{", [])])
        stray = control_message(
            JobStatus(job_id="stray", state="running"), run_id=run_id, mode="replay", key=b"stray"
        )
        await send(bootstrap_servers, config.topics.distill_jobs, [stray])
        for name, (changes, _) in bad.items():
            await submit(config, f"bad-{name}", teacher, seed=GOOD, **changes)
        jobs = await ended(config, *(f"bad-{name}" for name in bad))
        await submit(config, "good", teacher, seed=GOOD)
        (good,) = await ended(config, "good")
    for job, (_, words) in zip(jobs, bad.values(), strict=True):
        assert job.state == "failed", job
        assert words in job.status.detail
        assert "\n" not in job.status.detail
        assert registry.job(job.job_id)["state"] == "failed"
    assert good.state == "succeeded"
    assert [activation.job_id for activation in registry.history(UNIVERSE, "student")] == [None, "good"]


async def test_an_activation_that_came_first_stays_and_the_model_waits(
    bootstrap_servers: str, run_id: str, tmp_path: Path
) -> None:
    config, registry, teacher, _ = await prepare(bootstrap_servers, run_id, tmp_path)
    other = registry.add(small_jobs.save_student(tmp_path / "made", seed=9))
    async with working(config, registry, settings(tmp_path / "spool")):
        await submit(config, "late", teacher, seed=SLOW)
        await running(config, "late")
        registry.activate(UNIVERSE, "student", other, detail="by hand")
        (late,) = await ended(config, "late")
    assert late.state == "succeeded"
    assert "another model was activated meanwhile" in late.status.detail
    assert f"waits for `cs3g models activate {late.status.model_id}`" in late.status.detail
    active = registry.active(UNIVERSE, "student")
    assert active is not None
    assert (active.seq, active.model_id) == (2, other)


class FullDisk(MemoryFileSystem):
    """A file system that is full while `room` is not set."""

    protocol = "fulldisk"
    store: dict[str, Any] = {}  # noqa: RUF012  # fsspec's memory keeps its files by class
    pseudo_dirs = [""]  # noqa: RUF012
    room = asyncio.Event()

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        if not self.room.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        super().pipe_file(path, value, mode=mode, **kwargs)


async def test_a_full_disk_activates_nothing_and_the_job_ends_once_there_is_room(
    bootstrap_servers: str, run_id: str, tmp_path: Path
) -> None:
    config, registry, teacher, _ = await prepare(bootstrap_servers, run_id, tmp_path)
    fsspec.register_implementation("fulldisk", FullDisk, clobber=True)
    FullDisk.room = asyncio.Event()
    FullDisk.room.set()
    full = Registry(f"fulldisk://{run_id}", cache=tmp_path / "cache")
    for model_id in (teacher, registry.active(UNIVERSE, "student").model_id):
        full.add(registry.get(model_id))
    FullDisk.room.clear()
    async with working(config, full, settings(tmp_path / "spool")):
        await submit(config, "job", teacher, seed=GOOD)
        waits = "waits to write its result"
        await running(config, "job", lambda detail: detail.startswith(waits) and "No space left" in detail)
        assert full.history(UNIVERSE, "student") == []
        assert full.job("job") is None
        FullDisk.room.set()
        (job,) = await ended(config, "job")
    assert job.state == "failed"
    assert "No space left" in job.status.detail
    assert full.history(UNIVERSE, "student") == []
    assert full.job("job")["state"] == "failed"


async def test_a_result_that_cannot_be_read_ends_the_job(
    bootstrap_servers: str, run_id: str, tmp_path: Path
) -> None:
    config, registry, teacher, _ = await prepare(bootstrap_servers, run_id, tmp_path)
    (tmp_path / "registry" / "jobs").mkdir()
    (tmp_path / "registry" / "jobs" / "job.json").write_text("{")
    async with working(config, registry, settings(tmp_path / "spool")):
        await submit(config, "job", teacher, seed=GOOD)
        (job,) = await ended(config, "job")
    assert job.state == "failed"
    assert "its result cannot be read" in job.status.detail
    assert len(registry.history(UNIVERSE, "student")) == 1


async def test_what_a_request_leaves_open_is_what_serves(
    bootstrap_servers: str, run_id: str, tmp_path: Path
) -> None:
    config, registry, teacher, student = await prepare(bootstrap_servers, run_id, tmp_path)
    request = JobRequest(job_id="job", kind="distill", universe=UNIVERSE)
    plan = plan_job(request, config, registry)
    assert (plan.recipe_id, plan.dataset_id, plan.archive) == ("quick", "live-graphs", None)
    assert (plan.incumbent_id, plan.incumbent_seq, plan.student_id) == (student, 1, None)
    registry.activate(UNIVERSE, "teacher", teacher)
    assert plan_job(request, config, registry).teacher_id == teacher
    # Of a job that has activated already, the incumbent is the model before.
    other = registry.add(small_jobs.save_student(tmp_path / "made", seed=9))
    registry.activate(UNIVERSE, "student", other, job_id="job")
    assert plan_job(request, config, registry).incumbent_id == student
    shutil.rmtree(tmp_path / "registry" / "activations")
    shipped = plan_job(request, config, registry)
    assert shipped.incumbent_seq == 0
    assert shipped.teacher_id in shipped.models
