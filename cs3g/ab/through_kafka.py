"""The same comparison through a broker: workers fold and score, two models at a time score the same snapshots.

One replay serves two models, the first in the student's role, the second in its shadow, whatever they are. A third
and fourth model take another replay of the same ticks, whose snapshots are the same.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from cs3g.ab.history import Input, replay_settings
from cs3g.ab.models import Contender
from cs3g.live_view import LiveView, RoleProgress
from cs3g.processes import WorkerProcesses
from cs3g.run_inputs import broker_at
from cs3g.session import (
    SessionResult,
    SessionStopped,
    log_dir,
    run_session,
    worker_environment,
)
from cs3g.session_plan import SessionPlan
from cs3g.stopping import stop_event
from topics.runs import PredictionRun
from topics.specs import replay_prefix
from topics.types import Role

__all__ = ["ThroughKafka", "pairs_of", "score_through_kafka"]

_BATCH_TICKS: Final = 1000


@dataclass(frozen=True, slots=True)
class ThroughKafka:
    """What workers made of a history.

    Attributes
    ----------
    predictions
        Runs of each contender, in the order given.
    data_digests
        Of each replay's ticks.
    latencies_ms
        From the tick that let a window close to its prediction, for each contender.
    wall_s
        Of all replays together.
    """

    predictions: list[list[PredictionRun]]
    data_digests: list[str]
    latencies_ms: list[list[float]]
    wall_s: float


def pairs_of(contenders: Sequence[Contender]) -> list[list[Contender]]:
    """Return who shares a replay: two at a time, the last one alone where their number is odd."""
    return [list(contenders[start : start + 2]) for start in range(0, len(contenders), 2)]


def score_through_kafka(
    given: Input, contenders: Sequence[Contender], out: Path, console: Console, bootstrap: str | None = None
) -> ThroughKafka:
    """Replay the data to workers and collect what they predict; everything that was started is stopped.

    Parameters
    ----------
    given
        The data.
    contenders
        Models.
    out
        Gets the workers' logs.
    console
        Shows the progress.
    bootstrap
        Address of a broker; None starts an embedded one.

    Raises
    ------
    TopicError, ReplayError, PipelineError
        A broker, a file or a worker fails.
    KeyboardInterrupt
        The run was told to stop.
    """
    with ExitStack() as stack:
        models_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cs3g-ab-")))
        for one in contenders:
            shutil.copytree(one.artifact.path, models_dir / one.manifest.model_id)
        address = stack.enter_context(broker_at(bootstrap, console))
        embedded = bootstrap is None
        results = [
            _replay(given, pair, models_dir, out / f"replay-{number}", console, address, embedded=embedded)
            for number, pair in enumerate(pairs_of(contenders), start=1)
        ]
    roles: tuple[Role, Role] = ("student", "teacher")
    places = [(i // 2, roles[i % 2]) for i in range(len(contenders))]
    return ThroughKafka(
        predictions=[
            [run for run in results[i].collected.predictions if run.role == role] for i, role in places
        ],
        data_digests=[result.report.digest for result in results],
        latencies_ms=[results[i].latencies_ms[role] for i, role in places],
        wall_s=sum(result.wall_s for result in results),
    )


def _replay(
    given: Input,
    pair: Sequence[Contender],
    models_dir: Path,
    out: Path,
    console: Console,
    bootstrap: str,
    *,
    embedded: bool,
) -> SessionResult:
    """Run one session with one model or two."""
    run_id = f"ab-{secrets.token_hex(4)}"
    shadow = pair[1].manifest.model_id if len(pair) > 1 else None
    config = given.config(
        bootstrap_servers=bootstrap,
        topic_prefix=replay_prefix(run_id),
        run_id=run_id,
        mode="replay",
        models_dir=models_dir,
        any_role=True,
        student_model_id=pair[0].manifest.model_id,
        teacher_model_id=shadow,
    )
    plan = SessionPlan(
        config=config,
        replay=replay_settings(given, config, run_id, _BATCH_TICKS),
        teacher=shadow is not None,
        embedded=embedded,
    )
    names = " and ".join(one.name for one in pair)
    with ExitStack() as stack:
        processes = stack.enter_context(WorkerProcesses(log_dir(out), worker_environment(config)))
        roles = {role: RoleProgress() for role in plan.roles}
        view = stack.enter_context(LiveView(console, roles))
        view.status = f"starting workers for {names}"
        view.refresh()

        async def session() -> SessionResult:
            stop = stop_event()
            return await run_session(
                plan, given.sources, processes, view, roles, relations=given.relations, stop=stop
            )

        try:
            return asyncio.run(session())
        except SessionStopped as stopped:
            raise KeyboardInterrupt from stopped
