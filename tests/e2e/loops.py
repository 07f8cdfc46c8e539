"""The retraining loop over a small generated market, for tests that disturb its processes."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl
from polars.testing import assert_frame_equal
from rich.console import Console

from cs3g.files import write_json
from cs3g.live_view import LiveView, RoleProgress
from cs3g.loop.follow import LoopRecords
from cs3g.loop.plan import LoopOptions, LoopPlan, make_plan
from cs3g.loop.report import loop_values
from cs3g.loop.run import play_loop
from cs3g.prediction_frame import write_predictions
from cs3g.processes import WorkerProcesses
from cs3g.run_inputs import open_data
from cs3g.session import log_dir, worker_environment
from pipeline.registry import Registry
from replay.generator.config import read_market_config
from replay.generator.files import write_panel
from replay.generator.market import generate_market
from topics.types import Role

N_SYMBOLS, N_DAYS = 24, 220
POLICY: Final = """
min_agreement = 0.9
agreement_windows = 8
activation_lag_windows = 12
max_psi_features = 0
cooldown = "365d"
max_jobs = 1
budget_period = "3650d"
"""
JOB_LEASE_S: Final = 2.0


def write_market(path: Path) -> Path:
    """Write the panel that the loop's tests replay."""
    write_panel(
        generate_market(read_market_config(None, instruments=N_SYMBOLS, windows=N_DAYS, seed=3, window="1d")),
        path,
    )
    return path


@dataclass
class Disturbed:
    """What a test may watch and kill while the loop runs.

    Attributes
    ----------
    arguments
        Of `cs3g`, by name of the process: to start it again.
    """

    plan: LoopPlan
    processes: WorkerProcesses
    roles: dict[Role, RoleProgress]
    arguments: dict[str, tuple[str, ...]]
    spool: Path

    @property
    def windows(self) -> int:
        """How many windows every role has predicted."""
        return min(progress.windows for progress in self.roles.values())

    def restart(self, name: str) -> None:
        """Kill a process with SIGKILL and start it again."""
        self.processes.kill(name)
        self.processes.start(name, self.arguments[name])


@dataclass(frozen=True)
class Reached:
    """What a loop has predicted, reported and put in service, without the times at which it did."""

    values: dict[str, Any]
    outcomes: list[dict[str, Any]]
    activations: list[dict[str, Any]]
    job_results: dict[str, Any]
    models: list[str]
    predictions: pl.DataFrame

    def check_equals(self, other: Reached) -> None:
        for name in self.values | other.values:
            assert self.values.get(name) == other.values.get(name), name
        assert self.outcomes == other.outcomes
        assert self.activations == other.activations
        assert self.job_results == other.job_results
        assert self.models == other.models
        assert_frame_equal(self.predictions, other.predictions)


def run_disturbed_loop(
    out: Path,
    panel: Path,
    bootstrap: str,
    *,
    embedded: bool,
    workers: int = 1,
    job_workers: int = 1,
    on_poll: Callable[[Disturbed, LoopRecords], None] | None = None,
) -> Reached:
    """Run what `cs3g loop` runs, with a test's hands on its processes."""
    out.mkdir()
    policy = out / "policy.toml"
    policy.write_text(POLICY)
    options = LoopOptions(
        out=out,
        data=(str(panel),),
        policy=policy,
        stale_at=0.5,
        workers=workers,
        job_workers=job_workers,
        bootstrap_servers=None if embedded else bootstrap,
    )
    sources, relations = open_data(options.paths, None, None)
    plan = asyncio.run(make_plan(options, bootstrap, sources))
    # A killed worker's job is taken over after seconds.
    services = tuple(
        (name, (*words, "--lease", str(JOB_LEASE_S)) if words[0] == "jobs" else words)
        for name, words in plan.session.services
    )
    plan = replace(plan, session=replace(plan.session, services=services))
    roles = {role: RoleProgress() for role in plan.session.roles}
    view = LiveView(Console(file=io.StringIO()), roles)
    environment = worker_environment(plan.session.config) | plan.environment
    with WorkerProcesses(log_dir(out), environment) as processes:
        disturbed = Disturbed(plan, processes, roles, _arguments(plan), out / "spool")
        result, records = asyncio.run(
            play_loop(
                plan,
                sources,
                relations,
                processes,
                view,
                roles,
                on_poll=None if on_poll is None else lambda found: on_poll(disturbed, found),
            )
        )
    write_predictions(out / "predictions.parquet", result.collected.predictions)
    registry = Registry(plan.session.config.registry_url)
    values = loop_values(plan, result, records)
    write_json(out / "loop.json", values)
    return Reached(
        values=values,
        outcomes=[msgspec.to_builtins(found) for _, found in sorted(records.outcomes.items())],
        activations=[
            msgspec.to_builtins(msgspec.structs.replace(activation, created_ns=0))
            for universe, role in sorted(registry.served())
            for activation in registry.history(universe, role)
        ],
        job_results={job_id: registry.job(job_id) for job_id in sorted(records.jobs)},
        models=sorted(entry.manifest.model_id for entry in registry.list()),
        predictions=pl.read_parquet(out / "predictions.parquet"),
    )


def _arguments(plan: LoopPlan) -> dict[str, tuple[str, ...]]:
    session = plan.session
    found = {
        f"student-{n}": ("worker", "--role", "student", "--id", str(n)) for n in range(1, session.workers + 1)
    }
    return {**found, "teacher-1": ("worker", "--role", "teacher", "--id", "1"), **dict(session.services)}
