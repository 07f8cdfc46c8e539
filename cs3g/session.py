"""One replay through real workers and a broker, with its predictions collected: what the demo and tests run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cs3g.collect import Collected, Collector
from cs3g.flow import FlowSink, InFlight
from cs3g.live_view import LiveView, RoleProgress
from cs3g.processes import WorkerProcesses
from cs3g.session_plan import SessionPlan
from cs3g.session_watch import Follower, ReplayWatch, SessionWatch
from pipeline.config import ENVIRONMENT_PREFIX, PipelineConfig
from pipeline.errors import PipelineError
from replay.kafka_sink import KafkaSink
from replay.report import ReplayReport
from replay.runner import run_replay
from replay.sources.base import Source
from replay.sources.relations import Relations
from topics.admin import create_topics
from topics.types import Role


class SessionStopped(PipelineError):
    """The session was asked to stop before its end."""


# Without a repr: asyncio.run formats its task's result when it restores the signal handler, all arrays of it.
@dataclass(frozen=True, slots=True, repr=False)
class SessionResult:
    """What was replayed and what came of it."""

    report: ReplayReport
    collected: Collected
    latencies_ms: dict[Role, list[float]]
    wall_s: float


async def run_session(
    plan: SessionPlan,
    sources: Sequence[Source],
    processes: WorkerProcesses,
    view: LiveView,
    roles: dict[Role, RoleProgress],
    *,
    relations: Relations | None = None,
    follower: Follower | None = None,
    on_poll: Callable[[WorkerProcesses], None] | None = None,
    stop: asyncio.Event | None = None,
) -> SessionResult:
    """Create the topics, start the workers, replay, and return when everything is predicted.

    Parameters
    ----------
    sources
        What to replay.
    processes
        Gets the workers; whoever made it stops them.
    relations
        Edges between instruments, and sectors instead of what the sources say.
    view, roles
        Shown while it works, and updated.
    follower
        Polled with the predictions; its gate holds the replay back.
    on_poll
        Called after each poll; tests disturb the workers there.
    stop
        Set it to end early. Not by cancellation, which aiokafka loses at times.

    Raises
    ------
    SessionStopped
        `stop` was set.
    SessionStalled
        Nothing moves any more.
    cs3g.processes.WorkerDied
        A worker ended by itself.
    """
    config = plan.config
    started = time.monotonic()
    await create_topics(
        config.bootstrap_servers,
        prefix=config.topic_prefix,
        partitions=config.tick_partitions,
        embedded=plan.embedded,
    )
    start_workers(plan, processes)
    in_flight = InFlight(
        config.window_size_ns, config.tick_partitions, lateness_ns=config.allowed_lateness_ns
    )
    async with (
        KafkaSink(
            config.bootstrap_servers, prefix=config.topic_prefix, partitions=config.tick_partitions
        ) as sink,
        Collector(config.bootstrap_servers, config.topics, config.universe) as collector,
    ):
        flow = FlowSink(sink, in_flight, time.monotonic)
        seen = ReplayWatch(view)
        replaying = asyncio.create_task(
            run_replay(
                plan.replay,
                sources,
                flow,
                gate=None if follower is None else follower.gate,
                relations=relations,
                on_progress=seen,
            )
        )
        try:
            watch = SessionWatch(plan, in_flight, flow, collector, roles)
            while not watch.is_done(replaying, follower):
                watch.take(await collector.poll())
                if follower is not None and await follower.poll():
                    watch.moved()
                view.refresh()
                processes.check()
                watch.check(seen.ticks)
                if on_poll is not None:
                    on_poll(processes)
                if stop is not None and stop.is_set():
                    raise SessionStopped("the session was stopped before its end")
            await collector.drain()
            report = await replaying
        finally:
            replaying.cancel()
    latencies = {role: progress.latencies_ms for role, progress in roles.items()}
    return SessionResult(report, collector.found, latencies, time.monotonic() - started)


def start_workers(plan: SessionPlan, processes: WorkerProcesses) -> None:
    """Start the plan's workers; their settings travel in the environment (`worker_environment`)."""
    for number in range(1, plan.workers + 1):
        processes.start(f"student-{number}", ["worker", "--role", "student", "--id", str(number)])
    if plan.teacher:
        processes.start("teacher-1", ["worker", "--role", "teacher", "--id", "1"])
    for name, arguments in plan.services:
        processes.start(name, arguments)


def worker_environment(config: PipelineConfig) -> dict[str, str]:
    """Return the environment that gives a worker this configuration; secrets are inherited, never copied."""
    return {
        f"{ENVIRONMENT_PREFIX}{name.upper()}": str(value)
        for name, value in config.model_dump(exclude_none=True).items()
        if value != ""
    } | {"OMP_NUM_THREADS": "1"}


def log_dir(out: Path) -> Path:
    """Return where a run keeps its workers' logs."""
    return out / "logs"
