"""What `cs3g loop` does: a replay with the whole retraining loop running beside it, and what came of it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from rich.console import Console

from cs3g.announcing import announce
from cs3g.files import write_json
from cs3g.live_view import LiveView, RoleProgress
from cs3g.loop.follow import LoopFollower, LoopRecords
from cs3g.loop.gate import LoopGate
from cs3g.loop.page import write_page
from cs3g.loop.plan import LoopOptions, LoopPlan, make_plan
from cs3g.loop.report import loop_values, story
from cs3g.prediction_frame import write_predictions
from cs3g.processes import WorkerProcesses
from cs3g.run_inputs import broker_at, open_data
from cs3g.session import SessionResult, SessionStopped, log_dir, run_session, worker_environment
from cs3g.stopping import stop_event
from replay.sources.base import Source
from replay.sources.relations import Relations
from topics.admin import create_topics
from topics.types import Role


def run_loop(options: LoopOptions) -> None:
    """Run the loop from a cold start to its results.

    Raises
    ------
    ConfigError, replay.errors.ReplayError, topics.errors.TopicError
        An option, a file, a port or a broker is not as needed; nothing is left running.
    """
    # As Ctrl-C does: everything that was started is stopped in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    sources, relations = open_data(options.paths, options.symbols, options.sectors)
    with ExitStack() as stack:
        bootstrap = stack.enter_context(broker_at(options.bootstrap_servers, console))
        plan = asyncio.run(make_plan(options, bootstrap, sources))
        environment = worker_environment(plan.session.config) | plan.environment
        processes = stack.enter_context(WorkerProcesses(log_dir(options.out), environment))
        roles = {role: RoleProgress() for role in plan.session.roles}
        with LiveView(console, roles) as view:
            try:
                result, records = asyncio.run(play_loop(plan, sources, relations, processes, view, roles))
            except SessionStopped as stopped:
                raise KeyboardInterrupt from stopped
        # Before anything is stopped: what was reached is written, however the workers and the broker end.
        _finish(console, options, plan, result, records)


async def play_loop(
    plan: LoopPlan,
    sources: Sequence[Source],
    relations: Relations | None,
    processes: WorkerProcesses,
    view: LiveView,
    roles: dict[Role, RoleProgress],
    *,
    on_poll: Callable[[LoopRecords], None] | None = None,
) -> tuple[SessionResult, LoopRecords]:
    """Announce what serves, replay, and return when every window is decided and every job has ended.

    Parameters
    ----------
    sources, relations
        What to replay, and the edges between its instruments.
    processes
        Gets the workers; whoever made it stops them.
    view, roles
        Shown while it works, and updated.
    on_poll
        Called with what the loop has published, after each poll; tests disturb the workers there.

    Raises
    ------
    SessionStopped, SessionStalled, cs3g.processes.WorkerDied
        As of `run_session`.
    """
    stop = stop_event()
    session, config = plan.session, plan.session.config
    await create_topics(
        config.bootstrap_servers,
        prefix=config.topic_prefix,
        partitions=config.tick_partitions,
        embedded=session.embedded,
    )
    for activation in plan.activations:
        await announce(config, activation)
    gate = LoopGate(config.window_size_ns, plan.policy.activation_lag_windows)
    async with LoopFollower(config.bootstrap_servers, config.topics, gate, session.roles) as follower:
        result = await run_session(
            session,
            sources,
            processes,
            view,
            roles,
            relations=relations,
            follower=follower,
            on_poll=None if on_poll is None else lambda _: on_poll(follower.found),
            stop=stop,
        )
        return result, follower.found


def _finish(
    console: Console, options: LoopOptions, plan: LoopPlan, result: SessionResult, records: LoopRecords
) -> None:
    out, found = options.out, result.collected
    write_predictions(out / "predictions.parquet", found.predictions)
    values = loop_values(plan, result, records)
    write_json(out / "loop.json", values)
    write_page(out / "loop.html", values, records, plan.session.config.window_size_ns)
    lines = [
        f"{result.report.ticks:,} ticks, {found.windows:,} windows in {result.wall_s:.1f} s, {len(found.gaps)} gaps,"
        f" {found.digest.n_duplicates} repeated and {found.digest.n_conflicts} conflicting windows",
        *story(values),
        f"written to {out}: loop.json, loop.html, predictions.parquet, registry, logs",
        f"digest {found.digest.value()}",
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
