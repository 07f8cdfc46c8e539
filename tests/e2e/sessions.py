"""One small market through real workers, and the same ticks through the pipeline without Kafka."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from cs3g.live_view import LiveView, RoleProgress
from cs3g.models import load_model
from cs3g.processes import WorkerProcesses
from cs3g.session import SessionResult, run_session, worker_environment
from cs3g.session_plan import SessionPlan
from pipeline.config import PipelineConfig, load_config
from pipeline.graph_config import InstrumentDirectory
from pipeline.offline import TickCounts, join_graph_runs, score_runs, snapshots_from_ticks, windows_from_ticks
from replay.config import ReplayConfig
from replay.runner import run_replay
from replay.sinks import MemorySink
from replay.sources.base import StreamSource, Tally
from topics.digest import prediction_digest
from topics.envelope import Envelope
from topics.runs import GraphRun, PredictionRun, TickRun, WindowRun
from topics.specs import replay_prefix
from topics.tick_builders import trades
from topics.ticks import decode_ticks
from topics.types import NANOS_PER_SECOND, UNDEF_PRICE, RecordArray, Role

UNIVERSE = "test"
PARTITIONS = 4
LATENESS_NS = NANOS_PER_SECOND // 10
START_NS = 1_700_000_000 * NANOS_PER_SECOND
N_TICKS, N_SYMBOLS, N_SECONDS = 3_000, 12, 100
ROLES: tuple[Role, ...] = ("student", "teacher")
SETTINGS: dict[str, Any] = {
    "universe": UNIVERSE,
    "window_size_ns": NANOS_PER_SECOND,
    "allowed_lateness_ns": LATENESS_NS,
    "tick_partitions": PARTITIONS,
}


def market() -> StreamSource:
    """Trades in the recorder's order: some disordered within the lateness, some beyond it, a few refused."""
    generator = np.random.default_rng(7)
    arrival = START_NS + np.sort(generator.integers(0, N_SECONDS * NANOS_PER_SECOND, N_TICKS))
    delay = generator.integers(0, LATENESS_NS // 2, N_TICKS)
    beyond = generator.random(N_TICKS) < 0.02
    delay[beyond] = generator.integers(2 * NANOS_PER_SECOND, 5 * NANOS_PER_SECOND, beyond.sum())
    steps = generator.standard_normal(N_TICKS) * 5e-4
    price = np.rint(1e11 * np.exp(np.cumsum(steps))).astype(np.int64)
    price[generator.random(N_TICKS) < 0.003] = -NANOS_PER_SECOND
    # The last tick is refused and alone in its window: the end must not wait for a prediction of that one.
    price[-1] = UNDEF_PRICE
    arrival[-1], delay[-1] = arrival[-1] + 3 * NANOS_PER_SECOND, 0
    records = trades(
        instrument_id=generator.integers(1, N_SYMBOLS + 1, N_TICKS),
        ts_event=arrival - delay,
        ts_recv=arrival,
        price=price,
        size=generator.integers(1, 500, N_TICKS),
        side=generator.choice([b"A", b"B", b"N"], N_TICKS),
    ).records
    symbols = tuple(f"S{number:02d}" for number in range(1, N_SYMBOLS + 1))

    def read(tally: Tally) -> Iterator[RecordArray]:
        tally.rows += len(records)
        for start in range(0, len(records), 700):
            yield records[start : start + 700].copy()

    sectors = {symbol: f"sector {number % 3}" for number, symbol in enumerate(symbols)}
    return StreamSource("generated market", "trades", "ts_recv", symbols, read, sectors)


def replay_config(run_id: str, **changes: Any) -> ReplayConfig:
    return ReplayConfig(run_id=run_id, universe=UNIVERSE, partitions=PARTITIONS, clock="ts_recv", **changes)


def config_for(bootstrap: str, run_id: str, **changes: Any) -> PipelineConfig:
    prefix = replay_prefix(run_id)
    settings = SETTINGS | changes
    return load_config(
        bootstrap_servers=bootstrap, topic_prefix=prefix, run_id=run_id, mode="replay", **settings
    )


@dataclass(frozen=True)
class Offline:
    """What the pipeline makes of the market in this process."""

    counts: TickCounts
    windows: list[WindowRun]
    graphs: GraphRun
    predictions: dict[Role, list[PredictionRun]]

    @property
    def refused(self) -> dict[str, int]:
        return {"late": self.counts.n_late, **self.counts.invalid_causes}

    def digest(self, *roles: Role) -> str:
        return prediction_digest(run for role in roles for run in self.predictions[role])


async def run_offline(**replay: Any) -> Offline:
    """Fold what a replay hands to its sink, heartbeats included, because they decide what is late."""
    sink = MemorySink()
    await run_replay(replay_config("offline", **replay), [market()], sink)
    ticks = [
        (partition, decode_ticks(message.value, Envelope.from_headers(message.headers)))
        for partition, messages in sink.messages.items()
        for message in messages[:-1]  # the last one is the end of the replay
    ]
    return fold_offline(ticks, InstrumentDirectory.from_instruments(sink.instruments, UNIVERSE))


def fold_offline(ticks: list[tuple[int, TickRun]], directory: InstrumentDirectory) -> Offline:
    config = load_config(**SETTINGS)
    rules: dict[str, Any] = {"partitions": PARTITIONS, "allowed_lateness_ns": LATENESS_NS}
    counts = TickCounts()
    windows = list(
        windows_from_ticks(ticks, universe=UNIVERSE, size_ns=NANOS_PER_SECOND, counts=counts, **rules)
    )
    snapshots = list(snapshots_from_ticks(ticks, directory, config.graph, **rules))
    predictions = {role: list(score_runs(load_model(config, role), snapshots)) for role in ROLES}
    return Offline(counts, windows, join_graph_runs(snapshots), predictions)


@dataclass
class Session:
    """What a test may watch and disturb while a session runs."""

    bootstrap: str
    run_id: str
    processes: WorkerProcesses
    view: LiveView
    roles: dict[Role, RoleProgress]


async def run_online(
    bootstrap: str,
    run_id: str,
    logs: Path,
    *,
    embedded: bool,
    workers: int = 1,
    teacher: bool = False,
    disturb: Callable[[Session], None] | None = None,
    config: PipelineConfig | None = None,
    **replay: Any,
) -> SessionResult:
    """Replay the market through Kafka and workers in processes of their own."""
    config = config or config_for(bootstrap, run_id)
    plan = SessionPlan(config, replay_config(run_id, **replay), workers, teacher, embedded)
    roles = {role: RoleProgress() for role in plan.roles}
    view = LiveView(Console(file=io.StringIO()), roles)
    with WorkerProcesses(logs, worker_environment(config)) as processes:
        session = Session(bootstrap, run_id, processes, view, roles)

        def on_poll(_: WorkerProcesses) -> None:
            if disturb is not None:
                disturb(session)

        return await run_session(plan, [market()], processes, view, roles, on_poll=on_poll)
