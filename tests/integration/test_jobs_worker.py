"""Job workers on a real broker: every way in which a job can end, and that it ends once."""

from __future__ import annotations

from pathlib import Path

import pytest

from cs3g.jobs.sending import send_record
from tests.integration.job_workers import ended, prepare, running, settings, submit, working
from tests.integration.quick_job import BAD, CRASHES, CRASHES_ONCE, GOOD, HANGS
from topics.control import JobCancel
from topics.groups import group_lag

pytestmark = pytest.mark.broker

UNIVERSE = "small"


async def test_jobs_end_as_they_should(bootstrap_servers: str, run_id: str, tmp_path: Path) -> None:
    config, registry, teacher, student = await prepare(bootstrap_servers, run_id, tmp_path)
    async with working(config, registry, settings(tmp_path / "spool")):
        await submit(config, "good", teacher, seed=GOOD, since_ts_close=77, reason="stale")
        (good,) = await ended(config, "good")
        await submit(config, "bad", teacher, seed=BAD)
        await submit(config, "manual", teacher, seed=GOOD, promotion="manual")
        await submit(config, "again", teacher, seed=CRASHES_ONCE)
        await submit(config, "crash", teacher, seed=CRASHES)
        bad, manual, again, crash = await ended(config, "bad", "manual", "again", "crash")
    first = registry.history(UNIVERSE, "student")[1]
    assert (first.job_id, first.since_ts_close, first.model_id) == ("good", 77, good.status.model_id)
    assert good.state == "succeeded"
    assert "activated as number 2" in good.status.detail
    lineage = registry.lineage(good.status.model_id)
    assert (lineage.parent_id, lineage.incumbent_id, lineage.job_id) == (teacher, student, "good")
    assert (lineage.recipe_id, lineage.dataset_id, lineage.seed) == ("quick", "live-graphs", GOOD)
    assert lineage.data_digest.startswith("sha256:")
    assert bad.state == manual.state == "succeeded"
    assert f"waits for `cs3g models activate {bad.status.model_id}`" in bad.status.detail
    assert "manual" in manual.status.detail
    assert again.state == "succeeded"
    assert crash.state == "failed"
    assert "crashed 2 times" in crash.status.detail
    assert "out of luck" in crash.status.detail
    jobs = [activation.job_id for activation in registry.history(UNIVERSE, "student")]
    assert jobs == [None, "good", "again"]
    for job_id in ("good", "bad", "manual", "again", "crash"):
        assert registry.job(job_id)["job_id"] == job_id
    lags = await group_lag(
        bootstrap_servers, f"{config.topic_prefix}cs3g.small.jobs", [config.topics.distill_jobs]
    )
    assert sum(lag.lag for lag in lags) == 0
    assert list((tmp_path / "spool").glob("*/")) == []


async def test_a_job_is_cancelled_queued_or_running_or_stopped_by_time(
    bootstrap_servers: str, run_id: str, tmp_path: Path
) -> None:
    config, registry, teacher, _ = await prepare(bootstrap_servers, run_id, tmp_path)
    await submit(config, "queued", teacher, seed=GOOD)
    await send_record(config, JobCancel(job_id="queued", reason="changed my mind"))
    async with working(config, registry, settings(tmp_path / "spool", timeout_s=1.0)):
        (queued,) = await ended(config, "queued")
        await submit(config, "long", teacher, seed=HANGS)
        (long,) = await ended(config, "long")
    async with working(config, registry, settings(tmp_path / "spool")):
        await submit(config, "running", teacher, seed=HANGS)
        await running(config, "running")
        await send_record(config, JobCancel(job_id="running", reason="wrong range"))
        (cancelled,) = await ended(config, "running")
        await send_record(config, JobCancel(job_id="running", reason="again"))
    assert (queued.state, queued.status.detail) == ("cancelled", "changed my mind")
    assert (long.state, long.status.detail) == ("failed", "the job took longer than 1 s and was stopped")
    assert (cancelled.state, cancelled.status.detail) == ("cancelled", "wrong range")
    assert len(registry.history(UNIVERSE, "student")) == 1
    assert registry.job("running")["state"] == "cancelled"
