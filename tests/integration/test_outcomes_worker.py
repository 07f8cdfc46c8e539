"""An outcomes worker on a real broker: it publishes what the core makes, however often it is killed; the commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from cs3g.jobs.sending import send_record
from cs3g.processes import WorkerProcesses
from cs3g.session import worker_environment
from pipeline.config import PipelineConfig, load_config
from pipeline.names import consumer_group
from pipeline.outcomes import SettledWindow
from pipeline.outcomes_config import OutcomesConfig
from pipeline.trigger import Decided, decide, manual_decision
from pipeline.trigger_config import TriggerPolicy
from pipeline.trigger_state import TriggerState
from tests.integration.broker_topics import make_topics, send
from tests.integration.command_line import Run, check_line
from tests.unit.pipeline.outcome_streams import Stage, cut, prices, scores, with_models
from tests.unit.topics.factories import SIZE_NS
from topics.connection import admin_client, read_to_end, reader_client
from topics.control import DeadLetter, JobRequest, decode_control
from topics.envelope import Envelope, Message
from topics.groups import group_lag, partitions_of
from topics.messages import graph_message, prediction_message
from topics.outcomes import follow_outcomes, read_decisions, read_outcomes
from topics.runs import GraphRun
from topics.specs import replay_prefix

pytestmark = pytest.mark.broker

WINDOWS, INSTRUMENTS, LAST = 120, 8, 119
OUTCOMES = {"reference_windows": 20, "recent_windows": 10}
POLICY = {
    "min_agreement": 0.9, "agreement_windows": 8, "cooldown": 30 * SIZE_NS, "max_jobs": 2,
    "activation_lag_windows": 3, "record_every_windows": 25,
}  # fmt: skip


@dataclass(frozen=True)
class Market:
    """What goes in, and what the core makes of it."""

    graphs: list[Message]
    predictions: list[Message]
    windows: list[SettledWindow]
    decided: list[Decided]

    @property
    def outcomes(self) -> list[object]:
        return [outcome for window in self.windows for outcome in window.outcomes]

    @property
    def jobs(self) -> list[JobRequest]:
        return [one.job for one in self.decided if one.job is not None]


@pytest.fixture(scope="module")
def market() -> Market:
    graphs = prices(WINDOWS, INSTRUMENTS, seed=2)
    student = with_models(scores(graphs, "student"), [(0, "m1"), (70, "m2")])
    teacher = scores(graphs, "teacher", seed=4)
    stage = Stage(OutcomesConfig(**OUTCOMES))
    stage.take(graphs, *student, teacher)
    decided, _ = decide(TriggerPolicy(**POLICY), TriggerState(), stage.windows, size_ns=SIZE_NS)
    pieces = [piece for run in student for piece in cut(run, range(0, WINDOWS, 7))]
    for number, piece in enumerate(cut(teacher, range(0, WINDOWS, 11))):
        pieces.insert(2 * number + 1, piece)
    return Market(
        [_message(piece) for piece in cut(graphs, range(0, WINDOWS, 5))],
        [_message(piece) for piece in pieces],
        stage.windows,
        decided,
    )


def _message(run: object) -> Message:
    make = graph_message if isinstance(run, GraphRun) else prediction_message
    return make(run, run_id="r", mode="replay")  # type: ignore[arg-type,operator]


def config_for(bootstrap: str, run_id: str) -> PipelineConfig:
    return load_config(
        bootstrap_servers=bootstrap, topic_prefix=replay_prefix(run_id), universe="test", mode="replay",
        window_size_ns=SIZE_NS, run_id=run_id,
    )  # fmt: skip


@asynccontextmanager
async def workers(config: PipelineConfig, logs: Path) -> AsyncIterator[WorkerProcesses]:
    settings = {f"CS3G_OUTCOMES_{name.upper()}": str(value) for name, value in OUTCOMES.items()}
    settings |= {f"CS3G_TRIGGER_{name.upper()}": str(value) for name, value in POLICY.items()}
    with WorkerProcesses(logs, worker_environment(config) | settings) as processes:
        yield processes


async def await_outcome(config: PipelineConfig, ts_close: int) -> None:
    """Return once a window's outcome, or a later one, is on the topic."""
    async with (
        asyncio.timeout(120),
        follow_outcomes(
            config.bootstrap_servers,
            universe="test",
            prefix=config.topic_prefix,
            from_beginning=True,
            allow_replay=True,
        ) as outcomes,
    ):
        async for outcome in outcomes:
            if outcome.ts_close >= ts_close and outcome.role == "teacher":
                return


async def raw(bootstrap: str, topic: str) -> list[bytes]:
    async with admin_client(bootstrap) as admin, reader_client(bootstrap) as consumer:
        partitions = await partitions_of(admin, [topic])
        consumer.assign(partitions)
        return [record.value or b"" async for record in read_to_end(consumer, partitions)]


async def test_kills_repeat_identical_records_at_most(
    bootstrap_servers: str, broker_kind: str, run_id: str, market: Market, tmp_path: Path
) -> None:
    assert {one.decision.action for one in market.decided} == {"none", "job", "suppressed"}
    assert len(market.jobs) == 2
    config = config_for(bootstrap_servers, run_id)
    topics = await make_topics(bootstrap_servers, run_id, embedded=broker_kind == "embedded")
    assert topics == config.topics
    garbage = Message(b"test", b"no arrow", market.graphs[0].headers)
    n_graphs, n_predictions = len(market.graphs), len(market.predictions)
    async with workers(config, tmp_path) as processes:
        for part in range(2):
            # Predictions come before their snapshots, and after; one message is none.
            await send(bootstrap_servers, topics.predictions, _half(market.predictions, part))
            processes.start("outcomes", ["worker", "--role", "outcomes"])
            await send(bootstrap_servers, topics.graphs, [*_half(market.graphs, part), garbage])
            seen = market.windows[(part + 1) * len(market.windows) // 2 - 25].ts_close
            await await_outcome(config, seen)
            processes.kill("outcomes")
        # A scoring worker that was killed as well has sent its last messages again.
        await send(bootstrap_servers, topics.predictions, market.predictions[n_predictions // 2 :])
        await send(bootstrap_servers, topics.graphs, market.graphs[n_graphs // 2 :])
        processes.start("outcomes", ["worker", "--role", "outcomes"])
        await await_outcome(config, market.windows[-1].ts_close)
        await _await_committed(config)
        processes.stop()

    where = {"universe": "test", "prefix": config.topic_prefix, "allow_replay": True}
    assert await read_outcomes(bootstrap_servers, **where) == market.outcomes
    assert await read_decisions(bootstrap_servers, **where) == [one.decision for one in market.decided]
    sent = await raw(bootstrap_servers, topics.outcomes)
    assert set(sent) == {msgspec.json.encode(outcome) for outcome in market.outcomes}
    jobs = await raw(bootstrap_servers, topics.distill_jobs)
    assert set(jobs) == {msgspec.json.encode(job) for job in market.jobs}
    letters = [
        decode_control(value, Envelope("dead-letter", 1, "application/json"))
        for value in await raw(bootstrap_servers, topics.dead_letters)
    ]
    refused = {(letter.source_topic, letter.offset) for letter in letters if isinstance(letter, DeadLetter)}
    assert len(refused) == 2
    assert {topic for topic, _ in refused} == {topics.graphs}


def _half(messages: list[Message], part: int) -> list[Message]:
    return messages[part * len(messages) // 2 : (part + 1) * len(messages) // 2]


async def _await_committed(config: PipelineConfig) -> None:
    """Return once all but what waits for the last label is committed: nothing settled is read again."""
    group, topics = consumer_group(config, "outcomes"), [config.topics.graphs, config.topics.predictions]
    async with asyncio.timeout(30):
        while True:
            lags = await group_lag(config.bootstrap_servers, group, topics)
            # The last snapshot has no label yet; its message, and what lies behind it, waits.
            if all(lag.committed > 0 for lag in lags):
                return
            await asyncio.sleep(0.1)


def test_outcomes_and_decisions_are_shown_by_role(
    bootstrap_servers: str, run_id: str, market: Market, cs3g: Run
) -> None:
    async def fill() -> None:
        from topics.messages import control_message

        topics = await make_topics(bootstrap_servers, run_id)
        for topic, records in (
            (topics.outcomes, [*market.outcomes, *market.outcomes[-6:]]),
            (topics.distill_decisions, [one.decision for one in market.decided]),
        ):
            messages = [control_message(one, run_id="r", mode="replay", key=b"test") for one in records]
            await send(bootstrap_servers, topic, messages)

    asyncio.run(fill())
    place = ("--bootstrap-servers", bootstrap_servers, "--topic-prefix", replay_prefix(run_id))
    place += ("--universe", "test")

    status, out, err = cs3g("outcomes", "summary", *place, "--json")
    assert (status, err) == (0, "")
    rows = json.loads(out)
    assert [(row["role"], row["model_id"]) for row in rows] == [
        ("student", "m1"),
        ("teacher", "m1"),
        ("student", "m2"),
    ]
    assert sum(row["windows"] + row["warmup_windows"] for row in rows) == 2 * LAST
    assert [row["warmup_windows"] for row in rows[:2]] == [1, 1]
    ranked = [o.rank_ic for o in market.outcomes if o.model_id == "m2" and o.rank_ic is not None]
    assert rows[2]["rank_ic"] == pytest.approx(sum(ranked) / len(ranked))
    assert rows[2]["rank_ic_low"] < rows[2]["rank_ic"] < rows[2]["rank_ic_high"]
    _, table, _ = cs3g("outcomes", "summary", *place, "--role", "teacher")
    assert "teacher" in table
    assert "student" not in table

    arguments = ("outcomes", "tail", *place, "--from-beginning", "--limit", 2 * LAST)
    _, out, _ = cs3g(*arguments, "--json")
    assert [json.loads(line) for line in out.splitlines()] == msgspec.to_builtins(market.outcomes)
    _, out, _ = cs3g(*arguments)
    assert len(out.splitlines()) == 2 * LAST

    _, out, _ = cs3g("outcomes", "decisions", *place)
    assert len(out.splitlines()) == len(market.decided)
    assert market.jobs[0].job_id in out


def test_a_worker_without_its_topics_or_with_a_broken_policy_says_so(
    bootstrap_servers: str, run_id: str, tmp_path: Path, cs3g: Run
) -> None:
    place = ("worker", "--role", "outcomes", "--bootstrap-servers", bootstrap_servers)
    prefix = ("--topic-prefix", replay_prefix(run_id), "--mode", "replay")
    check_line(cs3g(*place, *prefix), "features.graphs.v1' does not exist", "cs3g topics create")
    policy = tmp_path / "policy.toml"
    policy.write_text("max_jobs = -1\n")
    check_line(cs3g(*place, *prefix, "--trigger-policy", policy), "`max_jobs` (=-1)")


async def test_a_job_asked_for_by_hand_is_recorded_among_the_decisions(
    bootstrap_servers: str, run_id: str
) -> None:
    await make_topics(bootstrap_servers, run_id)
    config = config_for(bootstrap_servers, run_id)
    job = JobRequest(job_id="mine", kind="distill", universe="test", reason="a new recipe")
    await send_record(config, job)
    where = {"universe": "test", "prefix": config.topic_prefix, "allow_replay": True}
    (decision,) = await read_decisions(bootstrap_servers, **where)
    assert decision == manual_decision(job)
    assert await raw(bootstrap_servers, config.topics.distill_jobs) == [msgspec.json.encode(job)]
