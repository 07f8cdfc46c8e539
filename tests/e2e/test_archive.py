"""Record, replay, same digest: a session's topics in an archive give the session's predictions again."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from cs3g.live_view import LiveView, RoleProgress
from cs3g.processes import WorkerProcesses
from cs3g.session import run_session, worker_environment
from cs3g.session_plan import SessionPlan
from pipeline.graph_archive import graph_run_digest, read_graph_archive
from replay.archive.record import record_topics
from replay.config import ReplayConfig
from replay.sources.base import Selection
from replay.sources.open import open_sources
from tests.e2e.sessions import N_TICKS, PARTITIONS, UNIVERSE, config_for, run_offline, run_online
from topics.specs import replay_prefix

pytestmark = [pytest.mark.e2e, pytest.mark.broker]


async def test_a_replayed_archive_gives_the_same_predictions(
    bootstrap_servers: str, broker_kind: str, run_id: str, tmp_path: Path
) -> None:
    is_embedded = broker_kind == "embedded"
    # Ticks come in the recorder's order, some too late for their window: late they must be again.
    first = await run_online(
        bootstrap_servers, run_id, tmp_path / "one", embedded=is_embedded, batch_ticks=40
    )
    archive = tmp_path / "archive"
    recorded = await record_topics(bootstrap_servers, archive, prefix=replay_prefix(run_id))
    assert (recorded.left, recorded.unreadable) == (0, 0)

    again = f"{run_id}-again"
    config = config_for(bootstrap_servers, again)
    replay = ReplayConfig(run_id=again, universe=UNIVERSE, partitions=PARTITIONS, batch_ticks=111)
    plan = SessionPlan(config, replay, workers=2, teacher=False, embedded=is_embedded)
    roles = {role: RoleProgress() for role in plan.roles}
    with WorkerProcesses(tmp_path / "two", worker_environment(config)) as processes:
        view = LiveView(Console(file=io.StringIO()), roles)
        second = await run_session(plan, open_sources([archive], Selection()), processes, view, roles)
    assert second.collected.digest.value() == first.collected.digest.value()
    assert second.collected.refused == first.collected.refused
    assert first.collected.refused["late"] > 20
    assert second.report.ticks == first.report.ticks == N_TICKS
    assert second.report.heartbeats == first.report.heartbeats

    offline = await run_offline()
    assert graph_run_digest(read_graph_archive(archive)) == graph_run_digest(offline.graphs)
