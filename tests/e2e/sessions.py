"""A small replay through real workers, and the same ticks through the pipeline without Kafka."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console

from cs3g.live_view import LiveView, RoleProgress
from cs3g.models import load_model
from cs3g.processes import WorkerProcesses
from cs3g.session import SessionPlan, SessionResult, run_session, worker_environment
from pipeline.config import PipelineConfig, load_config
from pipeline.graph_config import InstrumentDirectory
from pipeline.offline import score_runs, snapshots_from_ticks
from replay.config import ReplayConfig
from replay.runner import run_replay
from replay.sinks import MemorySink
from replay.sources.base import Selection, Source
from replay.sources.open import open_sources
from topics.digest import prediction_digest
from topics.envelope import Envelope
from topics.runs import TickRun
from topics.specs import replay_prefix
from topics.ticks import decode_ticks

PARTITIONS = 4
SIZE_NS = 1_000_000_000
START_NS = 1_700_000_000 * SIZE_NS
N_TICKS = 6_000
N_WINDOWS = 100


def write_ticks(path: Path) -> Path:
    """Write trades of 12 instruments over 100 s, sorted by time."""
    generator = np.random.default_rng(7)
    instrument = generator.integers(0, 12, N_TICKS)
    steps = generator.standard_normal(N_TICKS) * 0.02
    frame = pl.DataFrame(
        {
            "ts_event": START_NS + np.sort(generator.integers(0, N_WINDOWS * SIZE_NS, N_TICKS)),
            "symbol": [f"S{number:02d}" for number in instrument],
            "price": np.round(50.0 + 5.0 * instrument + np.cumsum(steps), 2),
            "size": generator.integers(1, 500, N_TICKS),
        }
    )
    frame.write_parquet(path)
    return path


def sources_of(path: Path) -> list[Source]:
    return open_sources([path], Selection())


def config_for(bootstrap: str, run_id: str) -> PipelineConfig:
    return load_config(
        bootstrap_servers=bootstrap,
        topic_prefix=replay_prefix(run_id),
        run_id=run_id,
        mode="replay",
        universe="test",
        window_size_ns=SIZE_NS,
        tick_partitions=PARTITIONS,
    )


async def offline_digest(path: Path, roles: tuple[str, ...]) -> str:
    """Return the digest of what the pipeline makes of the file in this process."""
    sink = MemorySink()
    config = load_config(universe="test", window_size_ns=SIZE_NS, tick_partitions=PARTITIONS)
    await run_replay(
        ReplayConfig(run_id="offline", universe="test", partitions=PARTITIONS), sources_of(path), sink
    )
    ticks: list[tuple[int, TickRun]] = []
    for partition, messages in sink.messages.items():
        for message in messages[:-1]:  # the last one is the end of the replay
            ticks.append((partition, decode_ticks(message.value, Envelope.from_headers(message.headers))))
    directory = InstrumentDirectory.from_instruments(sink.instruments, "test")
    graphs = list(snapshots_from_ticks(ticks, directory, config.graph, partitions=PARTITIONS))
    runs = [run for role in roles for run in score_runs(load_model(config, role), graphs)]  # type: ignore[arg-type]
    return prediction_digest(runs)


async def run_online(
    bootstrap: str,
    run_id: str,
    path: Path,
    logs: Path,
    *,
    workers: int = 1,
    teacher: bool = False,
    on_poll: Callable[[WorkerProcesses], None] | None = None,
    **replay: Any,
) -> SessionResult:
    """Replay the file through Kafka and workers of their own processes."""
    config = config_for(bootstrap, run_id)
    plan = SessionPlan(
        config=config,
        replay=ReplayConfig(run_id=run_id, universe="test", partitions=PARTITIONS, **replay),
        workers=workers,
        teacher=teacher,
    )
    roles = {role: RoleProgress() for role in plan.roles}
    view = LiveView(Console(file=io.StringIO()), roles)
    with WorkerProcesses(logs, worker_environment(config)) as processes:
        return await run_session(plan, sources_of(path), processes, view, roles, on_poll=on_poll)
