"""Ticks to outcomes through a real broker and workers, one of them killed: what the cores make of the same ticks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cs3g.processes import WorkerProcesses
from cs3g.session import worker_environment
from pipeline.outcomes import SettledWindow, settle
from pipeline.outcomes_config import load_outcomes_config
from pipeline.outcomes_join import OutcomeJoin
from pipeline.outcomes_state import OutcomesState
from pipeline.trigger import decide
from pipeline.trigger_config import load_trigger_policy
from pipeline.trigger_state import TriggerState
from tests.e2e.sessions import UNIVERSE, Offline, Session, config_for, run_offline, run_online
from topics.outcomes import follow_outcomes, read_decisions, read_outcomes
from topics.types import NANOS_PER_SECOND

pytestmark = [pytest.mark.e2e, pytest.mark.broker]

SETTINGS = {"CS3G_OUTCOMES_REFERENCE_WINDOWS": "20", "CS3G_OUTCOMES_RECENT_WINDOWS": "10"}
WORKER = ["worker", "--role", "outcomes"]


def settled(offline: Offline) -> list[SettledWindow]:
    config = load_outcomes_config()
    state = OutcomesState()
    place = {"universe": UNIVERSE, "size_ns": NANOS_PER_SECOND}
    join = OutcomeJoin(config, state, **place, mode="replay")  # type: ignore[arg-type]
    for runs in offline.predictions.values():
        for run in runs:
            join.add_predictions(run)
    join.add_graphs(offline.graphs)
    windows = []
    while (mature := join.take()) is not None:
        found, state = settle(mature, state, config, **place)  # type: ignore[arg-type]
        windows += found
    return windows


class _Killer:
    """Starts an outcomes worker, and kills it once some windows are predicted."""

    def __init__(self) -> None:
        self._left = [1, 40]

    def __call__(self, session: Session) -> None:
        seen = min(progress.windows for progress in session.roles.values())
        if not self._left or seen < self._left[0]:
            return
        if self._left.pop(0) > 1:
            session.processes.kill("outcomes-1")
        session.processes.start("outcomes-1", WORKER)


async def test_outcomes_of_a_disturbed_session_are_those_of_the_undisturbed_cores(
    bootstrap_servers: str,
    broker_kind: str,
    run_id: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    offline = await run_offline()
    windows = settled(offline)
    assert len(windows) == len(offline.graphs.ts_close) - 1
    assert sum(outcome.rank_ic is not None for window in windows for outcome in window.outcomes) > 100
    embedded = broker_kind == "embedded"
    await run_online(
        bootstrap_servers, run_id, tmp_path, embedded=embedded, teacher=True, speed=20.0, disturb=_Killer()
    )
    config = config_for(bootstrap_servers, run_id)
    where = {"universe": UNIVERSE, "prefix": config.topic_prefix, "allow_replay": True}
    with WorkerProcesses(tmp_path, worker_environment(config)) as processes:
        processes.start("outcomes-1", WORKER)
        async with (
            asyncio.timeout(60),
            follow_outcomes(bootstrap_servers, **where, from_beginning=True) as new,
        ):
            async for outcome in new:
                if (outcome.role, outcome.ts_close) == ("teacher", windows[-1].ts_close):
                    break
    expected = [outcome for window in windows for outcome in window.outcomes]
    assert await read_outcomes(bootstrap_servers, **where) == expected
    decided, _ = decide(load_trigger_policy(), TriggerState(), windows, size_ns=NANOS_PER_SECOND)
    assert await read_decisions(bootstrap_servers, **where) == [one.decision for one in decided]
