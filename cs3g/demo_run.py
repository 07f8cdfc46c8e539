"""What `cs3g demo` does: broker, workers, replay, live view, results, and everything stopped at the end."""

from __future__ import annotations

import asyncio
import secrets
import signal
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from cs3g.ab.comparison import compare
from cs3g.ab.latency import median_ms
from cs3g.ab.market import Market, market_of_closes, sector_names
from cs3g.ab.provenance import Provenance
from cs3g.ab.report import Report, make_report, write_report
from cs3g.ab.scores import lay_scores
from cs3g.ab.settings import AbSettings
from cs3g.collect import Collected
from cs3g.errors import ComparisonError
from cs3g.files import write_json
from cs3g.live_view import LiveView, RoleProgress
from cs3g.models import load_role_artifact
from cs3g.prediction_frame import write_predictions
from cs3g.processes import WorkerProcesses
from cs3g.run_inputs import broker_at, open_data
from cs3g.session import (
    SessionResult,
    SessionStopped,
    log_dir,
    run_session,
    worker_environment,
)
from cs3g.session_plan import SessionPlan
from cs3g.stopping import stop_event
from cs3g_model.manifest import Manifest
from pipeline.config import load_config
from replay.config import ReplayConfig
from replay.sources.base import Source
from replay.sources.relations import Relations
from topics.specs import replay_prefix
from topics.types import Role

DEFAULT_DATA: Final = "sp500-2009"
UNIVERSE: Final = "demo"
DEFAULT_WINDOWS: Final = {"ohlcv-1d": "1d", "ohlcv-1h": "1h", "ohlcv-1m": "1m"}
"""Window by schema; ticks and second bars are cut into seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the command was asked for; see `cs3g demo --help`."""

    out: Path
    data: tuple[str, ...] = ()
    workers: int = 1
    speed: float = 0.0
    teacher: bool = True
    window: str | None = None
    batch_ticks: int = 1000
    limit: int | None = None
    symbols: frozenset[str] | None = None
    sectors: Path | None = None
    partitions: int = 4
    student_model: str | None = None
    teacher_model: str | None = None
    bootstrap_servers: str | None = None


def run_demo(options: DemoOptions) -> None:
    """Run the demo from a cold start to its results.

    Raises
    ------
    ConfigError, replay.errors.ReplayError, topics.errors.TopicError
        An option, a file, a port or a broker is not as needed; nothing is left running.
    """
    # As Ctrl-C does: everything that was started is stopped in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    sources, relations = open_data(options.data or (DEFAULT_DATA,), options.symbols, options.sectors)
    with ExitStack() as stack:
        bootstrap = stack.enter_context(broker_at(options.bootstrap_servers, console))
        plan = _plan(options, bootstrap, sources)
        manifests = {role: load_role_artifact(plan.config, role).manifest for role in plan.roles}
        processes = stack.enter_context(
            WorkerProcesses(log_dir(options.out), worker_environment(plan.config))
        )
        roles = {role: RoleProgress() for role in plan.roles}
        with LiveView(console, roles) as view:
            view.status = f"starting {plan.workers} worker(s){' and a teacher' if plan.teacher else ''}"
            view.refresh()

            async def session() -> SessionResult:
                stop = stop_event()
                return await run_session(
                    plan, sources, processes, view, roles, relations=relations, stop=stop
                )

            try:
                result = asyncio.run(session())
            except SessionStopped as stopped:
                raise KeyboardInterrupt from stopped
        # Before anything is stopped: what was reached is written, however the workers and the broker end.
        _finish(console, options.out, plan, sources, relations, manifests, result)


def _plan(options: DemoOptions, bootstrap: str, sources: list[Source]) -> SessionPlan:
    run_id = f"demo-{secrets.token_hex(4)}"
    config = load_config(
        bootstrap_servers=bootstrap,
        topic_prefix=replay_prefix(run_id),
        run_id=run_id,
        mode="replay",
        universe=UNIVERSE,
        window_size_ns=options.window or DEFAULT_WINDOWS.get(sources[0].schema, "1s"),
        tick_partitions=options.partitions,
        student_model_id=options.student_model,
        teacher_model_id=options.teacher_model,
    )
    replay = ReplayConfig(
        run_id=run_id,
        universe=UNIVERSE,
        symbols=options.symbols,
        limit=options.limit,
        speed=options.speed,
        batch_ticks=options.batch_ticks,
        partitions=options.partitions,
    )
    return SessionPlan(
        config=config,
        replay=replay,
        workers=options.workers,
        teacher=options.teacher,
        embedded=options.bootstrap_servers is None,
    )


def _finish(
    console: Console,
    out: Path,
    plan: SessionPlan,
    sources: list[Source],
    relations: Relations | None,
    manifests: dict[Role, Manifest],
    result: SessionResult,
) -> None:
    found, report = result.collected, result.report
    rows = write_predictions(out / "predictions.parquet", found.predictions)
    made = _report(plan, sources, relations, manifests, result)
    write_report(out, made)
    write_json(out / "run.json", _run_values(plan, result))
    refused = sum(found.refused.values())
    balance = "" if found.window_ticks + refused == report.ticks else "  (DOES NOT ADD UP)"
    causes = ", ".join(f"{cause} {count:,}" for cause, count in sorted(found.refused.items()))
    lines = [
        f"{report.ticks:,} ticks in = {found.window_ticks:,} in {found.windows:,} windows"
        f" + {refused:,} in dead letters{f' ({causes})' if causes else ''}{balance}",
        f"{rows:,} predictions in {result.wall_s:.1f} s, {len(found.gaps)} gaps,"
        f" {found.digest.n_duplicates} repeated and {found.digest.n_conflicts} conflicting windows",
        made.verdict,
        f"written to {out}: predictions.parquet, ab.json, ab.md, ab.html, run.json, logs",
        f"digest {found.digest.value()}",
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _report(
    plan: SessionPlan,
    sources: list[Source],
    relations: Relations | None,
    manifests: dict[Role, Manifest],
    result: SessionResult,
) -> Report:
    """Compare what the roles predicted; a report that says why where nothing can be compared."""
    found = result.collected
    market = _market(plan, sources, relations, found)
    models = [
        lay_scores(role, manifest, [run for run in found.predictions if run.role == role], market)
        for role, manifest in manifests.items()
    ]
    comparison, reason = None, ""
    try:
        comparison = compare(models, market)
    except ComparisonError as error:
        reason = str(error)
    provenance = Provenance(
        sources=tuple(Path(source.name).name for source in sources),
        data_digest=result.report.digest,
        config_hash=plan.config.config_hash(),
        settings=AbSettings(),
        extra={"ticks": result.report.ticks, "prediction_digest": found.digest.value()},
    )
    return make_report(models, market, provenance, comparison, reason=reason)


def _market(
    plan: SessionPlan, sources: list[Source], relations: Relations | None, found: Collected
) -> Market:
    symbols = {
        number: symbol
        for run in found.predictions
        for number, symbol in zip(run.instrument_ids.tolist(), run.symbols, strict=True)
    }
    sectors = sector_names(sources, relations)
    return market_of_closes(found.closes, symbols, plan.config.window_size_ns, sectors)


def _run_values(plan: SessionPlan, result: SessionResult) -> dict[str, object]:
    """Return what differs from run to run: times, latencies, cuts."""
    return {
        "run_id": plan.config.run_id,
        "workers": plan.workers,
        "wall_s": result.wall_s,
        "replay": result.report.as_dict(),
        "window_ticks": result.collected.window_ticks,
        "windows": result.collected.windows,
        "refused": dict(sorted(result.collected.refused.items())),
        "gaps": len(result.collected.gaps),
        "repeated_windows": result.collected.digest.n_duplicates,
        "conflicting_windows": result.collected.digest.n_conflicts,
        "latency_p50_ms": {role: median_ms(found) for role, found in result.latencies_ms.items()},
    }
