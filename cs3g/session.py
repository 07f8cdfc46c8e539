"""One replay through real workers and a broker, with its predictions collected: what the demo and tests run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cs3g.collect import Collected, Collector, slowest_close
from cs3g.flow import FlowSink, InFlight
from cs3g.live_view import LiveView, RoleProgress
from cs3g.processes import WorkerProcesses
from pipeline.config import ENVIRONMENT_PREFIX, PipelineConfig
from pipeline.errors import PipelineError
from replay.config import ReplayConfig
from replay.kafka_sink import KafkaSink
from replay.report import Progress, ReplayReport
from replay.runner import run_replay
from replay.sources.base import Source
from replay.sources.relations import Relations
from topics.admin import create_topics
from topics.runs import PredictionRun
from topics.types import Role

STALL_TIMEOUT_S: Final = 180.0
"""Longest wait for the next prediction once the replay does not move either."""

_INHERITED: Final = frozenset({"broker_user", "broker_password"})


class SessionStalled(PipelineError, TimeoutError):
    """Neither the replay nor the predictions move any more."""


class SessionStopped(PipelineError):
    """The session was asked to stop before its end."""


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What to run.

    Attributes
    ----------
    workers
        Processes of role student.
    teacher
        Whether a teacher scores in the shadow, in a process of its own.
    embedded
        Whether the broker is the embedded one, which keeps a bounded tail.
    """

    config: PipelineConfig
    replay: ReplayConfig
    workers: int = 1
    teacher: bool = True
    embedded: bool = True

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that predict."""
        return ("student", "teacher") if self.teacher else ("student",)


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
        seen = _ReplayProgress(view)
        replaying = asyncio.create_task(
            run_replay(plan.replay, sources, flow, relations=relations, on_progress=seen)
        )
        try:
            watch = _Watch(plan, in_flight, flow, collector, roles)
            while not watch.is_done(replaying):
                watch.take(await collector.poll())
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


def worker_environment(config: PipelineConfig) -> dict[str, str]:
    """Return the environment that gives a worker this configuration; secrets are inherited, never copied."""
    return {
        f"{ENVIRONMENT_PREFIX}{name.upper()}": str(value)
        for name, value in config.model_dump(exclude_none=True, exclude=set(_INHERITED)).items()
        if value != ""
    } | {"OMP_NUM_THREADS": "1"}


class _ReplayProgress:
    """Shows the replay's progress in the view's title and remembers it."""

    def __init__(self, view: LiveView) -> None:
        self._view = view
        self.ticks = 0

    def __call__(self, progress: Progress) -> None:
        self.ticks = progress.ticks
        done = "" if progress.fraction is None else f" ({progress.fraction:.0%})"
        self._view.status = f"replayed {progress.ticks:,} ticks{done}"


class _Watch:
    """Notices when the last window is predicted by every role, and when nothing moves any more."""

    def __init__(
        self,
        plan: SessionPlan,
        in_flight: InFlight,
        flow: FlowSink,
        collector: Collector,
        roles: dict[Role, RoleProgress],
    ) -> None:
        self._plan = plan
        self._in_flight = in_flight
        self._flow = flow
        self._collector = collector
        self._roles = roles
        self._moved = time.monotonic()
        self._ticks = 0

    def take(self, runs: Sequence[PredictionRun]) -> None:
        for run in runs:
            latency_s = self._flow.latency_s(int(run.ts_close[-1]))
            self._roles[run.role].add(run, None if latency_s is None else latency_s * 1000.0)
        if runs:
            self._moved = time.monotonic()
            self._in_flight.predicted(slowest_close(self._collector.found.last_close, self._plan.roles))
            self._flow.wake()

    def is_done(self, replaying: asyncio.Task[ReplayReport]) -> bool:
        if not replaying.done():
            return False
        ts_last = replaying.result().ts_last
        if ts_last is None:
            return True
        config, found = self._plan.config, self._collector.found
        last_close = (ts_last // config.window_size_ns + 1) * config.window_size_ns
        # The end of the replay closes every window, but nothing may have fallen into the last tick's own: it
        # can be refused. So what must be predicted is the last window that has something.
        return (
            self._collector.frontier_ns(config.tick_partitions) >= last_close
            and slowest_close(found.last_close, self._plan.roles) >= found.last_window_ns
        )

    def check(self, ticks: int) -> None:
        now = time.monotonic()
        if ticks != self._ticks:
            self._ticks, self._moved = ticks, now
        elif now - self._moved > STALL_TIMEOUT_S:
            ends = ", ".join(f"{role} {end}" for role, end in self._collector.found.last_close.items())
            raise SessionStalled(
                f"no prediction for {STALL_TIMEOUT_S:g} s (last windows: {ends or 'none'});"
                " the workers' logs say what they wait for"
            )


def log_dir(out: Path) -> Path:
    """Return where a run keeps its workers' logs."""
    return out / "logs"
