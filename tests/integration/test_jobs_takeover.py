"""A job worker killed with -9 at any moment: another one takes its job over, and one activation comes of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest

from cs3g.jobs.sending import send_record
from pipeline.config import PipelineConfig
from tests.integration import job_worker_process
from tests.integration.job_workers import ended, prepare, running, settings, submit, working
from tests.integration.quick_job import GOOD, HANGS, SLOW
from topics.connection import admin_client, read_to_end, reader_client
from topics.control import JobCancel, ModelAnnouncement, decode_control
from topics.envelope import Envelope
from topics.groups import group_lag, partitions_of
from topics.job_queue import JobQueue

pytestmark = pytest.mark.broker

UNIVERSE = "small"


@contextmanager
def worker_process(
    config: PipelineConfig, root: Path, name: str, moment: str = ""
) -> Iterator[subprocess.Popen]:
    told = {
        "registry": str(root / "registry"),
        "spool": str(root / f"spool-{name}"),
        "name": name,
        "moment": moment,
        "config": {
            "bootstrap_servers": config.bootstrap_servers,
            "topic_prefix": config.topic_prefix,
            "universe": config.universe,
            "mode": config.mode,
            "run_id": config.run_id,
        },
    }
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(job_worker_process.__file__).parents[2]),
        "OMP_NUM_THREADS": "1",
    }
    with subprocess.Popen(
        [sys.executable, job_worker_process.__file__, json.dumps(told)],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
            yield process
        finally:
            process.kill()


async def announced(config: PipelineConfig) -> list[ModelAnnouncement]:
    async with reader_client(config.bootstrap_servers) as reader:
        async with admin_client(config.bootstrap_servers) as admin:
            partitions = await partitions_of(admin, [config.topics.models])
        reader.assign(partitions)
        return [
            decode_control(record.value, Envelope.from_headers(record.headers))
            async for record in read_to_end(reader, partitions)
        ]


@pytest.mark.parametrize("moment", ["running", "added", "activated", "recorded"])
async def test_a_killed_workers_job_is_taken_over_and_activates_once(
    bootstrap_servers: str, run_id: str, tmp_path: Path, moment: str
) -> None:
    config, registry, teacher, student = await prepare(bootstrap_servers, run_id, tmp_path)
    await submit(config, "job", teacher, seed=SLOW, since_ts_close=5)
    with worker_process(config, tmp_path, "dies", "" if moment == "running" else moment) as dies:
        if moment == "running":
            await running(config, "job")
            dies.send_signal(signal.SIGKILL)
        assert await asyncio.to_thread(dies.wait, 60) == -signal.SIGKILL
    before = registry.job("job")
    assert (before is not None) == (moment == "recorded")
    async with working(config, registry, settings(tmp_path / "spool"), "heir"):
        (job,) = await ended(config, "job")
        # The heir serves on: the dead worker's other partitions are its own too.
        await submit(config, "next", teacher, seed=GOOD)
        await ended(config, "next")
    history = registry.history(UNIVERSE, "student")
    assert [activation.job_id for activation in history] == [None, "job", "next"]
    assert history[1].model_id == job.status.model_id
    result = registry.job("job")
    assert (result["state"], result["model_id"], result["activation_seq"]) == (
        "succeeded",
        job.status.model_id,
        2,
    )
    # As if nobody had died: compared with the student that served before, not with the job's own.
    assert result["incumbent_id"] == student
    if before is not None:
        assert result == before
    told = await announced(config)
    assert {(record.seq, record.model_id, record.since_ts_close) for record in told[:-1]} == {
        (2, job.status.model_id, 5)
    }
    assert told[-1].seq == 3
    lags = await group_lag(
        bootstrap_servers, f"{config.topic_prefix}cs3g.small.jobs", [config.topics.distill_jobs]
    )
    assert sum(lag.lag for lag in lags) == 0


async def test_a_worker_that_stops_hands_its_job_to_one_that_shares_the_topic(
    bootstrap_servers: str, run_id: str, tmp_path: Path
) -> None:
    config, registry, teacher, _ = await prepare(bootstrap_servers, run_id, tmp_path)
    names = [f"job-{n}" for n in range(4)]
    async with AsyncExitStack() as first:
        await first.enter_async_context(working(config, registry, settings(tmp_path / "one"), "one"))
        await submit(config, "long", teacher, seed=HANGS)
        await running(config, "long")
        async with working(config, registry, settings(tmp_path / "two"), "two"):
            await first.aclose()
            await running(config, "long")
            assert (tmp_path / "two" / "long").exists()
            await send_record(config, JobCancel(job_id="long", reason="enough"))
            (long,) = await ended(config, "long")
            for name in names:
                await submit(config, name, teacher, seed=GOOD, promotion="manual")
            await ended(config, *names)
    assert (long.state, long.status.detail) == ("cancelled", "enough")
    assert [registry.job(name)["state"] for name in names] == ["succeeded"] * 4
    assert len(registry.history(UNIVERSE, "student")) == 1


async def test_a_job_whose_partition_moves_is_left_to_the_worker_that_runs_it(
    bootstrap_servers: str, run_id: str, tmp_path: Path
) -> None:
    config, registry, teacher, _ = await prepare(bootstrap_servers, run_id, tmp_path)
    async with working(config, registry, settings(tmp_path / "one"), "one"):
        await submit(config, "long", teacher, seed=HANGS)
        await running(config, "long")
        # Two more members come: partitions move twice while the first one's job runs.
        async with working(config, registry, settings(tmp_path / "two"), "two"):
            queue = JobQueue(
                bootstrap_servers,
                config.topics.distill_jobs,
                group_id=f"{config.topic_prefix}cs3g.small.jobs",
                client_id="third",
            )
            async with queue, asyncio.timeout(30):
                while not queue.partitions:
                    await queue.poll(100)
            assert not (tmp_path / "two" / "long").exists()
            await send_record(config, JobCancel(job_id="long", reason="enough"))
            (long,) = await ended(config, "long")
    assert (long.state, long.status.detail) == ("cancelled", "enough")
