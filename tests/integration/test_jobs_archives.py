"""Jobs that learn from an archive instead of the topic: the same data, ranges, and the way from the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cs3g.jobs.spool import graph_bytes, graphs_sha256
from pipeline.graph_archive import write_graph_archive
from tests.integration.command_line import Run
from tests.integration.job_workers import (
    ended,
    prepare,
    set_environment,
    settings,
    submit,
    working,
    write_small_recipe,
)
from tests.integration.quick_job import GOOD
from tests.small_jobs import UNIVERSE, WINDOWS, small_graphs
from topics.cuts import slice_graphs

pytestmark = pytest.mark.broker


def archived(sets: Path, name: str, windows: int = WINDOWS) -> Path:
    """Write the first windows of the universe as an archive of two pieces."""
    run = small_graphs()
    half = windows // 2
    write_graph_archive(sets / name, [slice_graphs(run, 0, half), slice_graphs(run, half, windows)])
    return sets / name


async def test_an_archive_is_learned_from_as_the_topic_is(
    bootstrap_servers: str, run_id: str, tmp_path: Path
) -> None:
    config, registry, teacher, _ = await prepare(bootstrap_servers, run_id, tmp_path)
    sets = tmp_path / "sets"
    sets.mkdir()
    archived(sets, "recorded")
    archived(sets, "early", WINDOWS - 10)
    run = small_graphs()
    inner = {"from_ts_close": int(run.ts_close[9]), "to_ts_close": int(run.ts_close[-5])}
    wanted = {
        "topic": {},
        "archive": {"dataset_id": "recorded"},
        "range": {"dataset_id": "recorded", **inner},
        "topic-range": inner,
        "early": {"dataset_id": "early"},
    }
    async with working(config, registry, settings(tmp_path / "spool", datasets=sets)):
        for name, changes in wanted.items():
            await submit(config, name, teacher, seed=GOOD, promotion="manual", **changes)
        jobs = await ended(config, *wanted)
    assert [job.state for job in jobs] == ["succeeded"] * len(wanted), [job.status for job in jobs]
    learned = {job.job_id: registry.lineage(job.status.model_id) for job in jobs}
    assert [lineage.dataset_id for lineage in learned.values()] == [
        "live-graphs", "recorded", "recorded", "live-graphs", "early",
    ]  # fmt: skip
    whole = f"sha256:{graphs_sha256(graph_bytes(run))}"
    part = f"sha256:{graphs_sha256(graph_bytes(slice_graphs(run, 10, WINDOWS - 4)))}"
    assert learned["topic"].data_digest == learned["archive"].data_digest == whole
    assert learned["range"].data_digest == learned["topic-range"].data_digest == part
    assert learned["early"].data_digest not in {whole, part}


def test_two_processes_of_torchrun_fit_what_an_archive_holds(
    cs3g: Run, bootstrap_servers: str, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, registry, teacher, student = asyncio.run(prepare(bootstrap_servers, run_id, tmp_path))
    set_environment(config, monkeypatch)
    (tmp_path / "sets").mkdir()
    archived(tmp_path / "sets", "recorded")
    write_small_recipe(tmp_path / "recipes")
    asked = ("jobs", "submit", "--teacher", teacher, "--recipe", "small", "--dataset", "recorded")
    for job_id in ("first", "again"):
        assert cs3g(*asked, "--job-id", job_id, "--promotion", "manual")[0] == 0
    folders = ("--registry", tmp_path / "registry", "--recipes", tmp_path / "recipes")
    engine = ("--datasets", tmp_path / "sets", "--engine", "torchrun", "--processes", 2)
    status, out, err = cs3g("jobs", "work", *folders, *engine, "--limit", 2, "--lease", 5)
    assert (status, out) == (0, "2 jobs done\n"), err
    results = [registry.job(job_id) for job_id in ("first", "again")]
    assert [result["state"] for result in results] == ["succeeded"] * 2, results
    # However the processes take turns, two of them make one model.
    assert results[0]["model_id"] == results[1]["model_id"]
    lineage = registry.lineage(results[0]["model_id"])
    assert (lineage.dataset_id, lineage.parent_id, lineage.incumbent_id) == ("recorded", teacher, student)
    assert registry.active(UNIVERSE, "student").model_id == student
