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
from pipeline.graph_config import InstrumentDirectory
from replay.archive.record import RecordConfig, record_topics
from replay.config import ReplayConfig
from replay.kafka_sink import KafkaSink
from replay.runner import run_replay
from replay.sinks import MemorySink
from replay.sources.base import Selection
from replay.sources.open import open_sources
from tests.e2e.sessions import (
    N_TICKS,
    PARTITIONS,
    ROLES,
    UNIVERSE,
    config_for,
    fold_offline,
    market,
    replay_config,
    run_offline,
    run_online,
)
from topics.envelope import Envelope
from topics.specs import replay_prefix
from topics.ticks import decode_ticks

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
    recorded = await record_topics(bootstrap_servers, archive, RecordConfig(prefix=replay_prefix(run_id)))
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


async def test_an_archive_folded_without_kafka_gives_the_same_predictions(
    bootstrap_servers: str, run_id: str, tmp_path: Path
) -> None:
    sink = KafkaSink(
        bootstrap_servers, prefix=replay_prefix(run_id), partitions=PARTITIONS, create_missing=True
    )
    async with sink:
        await run_replay(replay_config(run_id, batch_ticks=40), [market()], sink)
    archive = tmp_path / "archive"
    await record_topics(bootstrap_servers, archive, RecordConfig(prefix=replay_prefix(run_id)))

    found = MemorySink()
    again = ReplayConfig(run_id="again", universe=UNIVERSE, partitions=PARTITIONS, batch_ticks=77)
    await run_replay(again, open_sources([archive], Selection()), found)
    ticks = [
        (partition, decode_ticks(message.value, Envelope.from_headers(message.headers)))
        for partition, messages in found.messages.items()
        for message in messages[:-1]  # the last one is the end of the replay
    ]
    offline = await run_offline()
    folded = fold_offline(ticks, InstrumentDirectory.from_instruments(found.instruments, UNIVERSE))
    assert folded.digest(*ROLES) == offline.digest(*ROLES)
    assert folded.refused == offline.refused
    assert folded.counts.n_late > 20
