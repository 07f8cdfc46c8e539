"""The outcomes agent killed between any two of its steps: never a record that contradicts another, none lost."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.agents.outcomes import OutcomesHub, Source
from pipeline.config import load_config
from pipeline.errors import StateDecodeError
from pipeline.outcomes import SettledWindow
from pipeline.outcomes_checkpoint import Settled
from pipeline.outcomes_config import OutcomesConfig
from pipeline.trigger import decide
from pipeline.trigger_config import TriggerPolicy
from pipeline.trigger_state import TriggerState
from tests.unit.pipeline.outcome_streams import Stage, cut, prices, scores
from tests.unit.topics.factories import SIZE_NS
from topics.control import Outcome, TriggerDecision, decode_control
from topics.envelope import Envelope, Message
from topics.messages import graph_message, prediction_message
from topics.outcomes import LoopSequence
from topics.types import Mode

OUTCOMES = OutcomesConfig(reference_windows=8, recent_windows=4, patience_windows=3)
POLICY = TriggerPolicy(
    min_agreement=0.9, agreement_windows=3, cooldown=8 * SIZE_NS, max_jobs=9, record_every_windows=7
)
GRAPHS = prices(40, 6)
TOPICS = ("jobs", "decisions", "outcomes", "dead")


class Killed(Exception):
    """The process died here; what it had sent stays."""


@dataclass
class Broker:
    """What outlives the agent: topics, its checkpoint, and what it has acknowledged."""

    sources: dict[Source, list[Message]]
    steps_left: int | None = None
    sent: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in TOPICS})
    order: list[str] = field(default_factory=list)
    checkpoint: bytes | None = None
    policy: TriggerPolicy = field(default_factory=lambda: POLICY)
    committed: dict[Source, int] = field(default_factory=lambda: {"graphs": 0, "predictions": 0})

    def step(self) -> None:
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left < 0:
                raise Killed

    # As `Checkpoints`.
    async def load(self, partition: int) -> bytes | None:
        return self.checkpoint

    async def save(self, partition: int, data: bytes) -> None:
        self.step()
        self.checkpoint = data
        self.step()

    def hub(self, mode: Mode) -> OutcomesHub:
        prefix = "replay.r." if mode == "replay" else ""
        topics = {name: Topic(self, name) for name in TOPICS}
        return OutcomesHub(
            load_config(universe="test", window_size_ns=SIZE_NS, mode=mode, topic_prefix=prefix),
            OUTCOMES,
            self.policy,
            checkpoints=self,  # type: ignore[arg-type]  # the two methods that the hub calls
            outcomes_topic=topics["outcomes"],  # type: ignore[arg-type]
            decisions_topic=topics["decisions"],  # type: ignore[arg-type]
            jobs_topic=topics["jobs"],  # type: ignore[arg-type]
            dead_letters_topic=topics["dead"],  # type: ignore[arg-type]
        )

    def place(self, name: str, number: int) -> int:
        """When the number-th message of a topic was sent."""
        return [place for place, found in enumerate(self.order) if found == name][number]

    def records(self, name: str) -> list[Any]:
        return [decode_control(m["value"], Envelope.from_headers(m["headers"])) for m in self.sent[name]]


class Topic:
    """Takes what the hub sends, acknowledged at once."""

    def __init__(self, broker: Broker, name: str) -> None:
        self._broker = broker
        self._name = name

    async def send(self, **message: Any) -> Any:
        self._broker.step()
        self._broker.sent[self._name].append(message)
        self._broker.order.append(self._name)
        acknowledged = asyncio.get_running_loop().create_future()
        acknowledged.set_result(SimpleNamespace(offset=len(self._broker.sent[self._name]) - 1))
        return acknowledged


class Event:
    """A message of a source; acknowledging one commits all before it, as Kafka does."""

    def __init__(self, broker: Broker, source: Source, offset: int) -> None:
        message = broker.sources[source][offset]
        self.message = SimpleNamespace(
            topic=source, partition=0, offset=offset, value=message.value, headers=message.headers
        )
        self._broker, self._source = broker, source

    def ack(self) -> None:
        self._broker.step()
        assert self.message.offset == self._broker.committed[self._source], "a gap was acknowledged"
        self._broker.committed[self._source] += 1


def sources(*, teacher_ends: int = 40) -> dict[Source, list[Message]]:
    student, teacher = scores(GRAPHS, "student"), scores(GRAPHS, "teacher", seed=8)
    runs = [*cut(student, range(0, 40, 6))]
    for number, piece in enumerate(cut(teacher, range(0, 40, 5))):
        if piece.ts_close[-1] <= teacher.ts_close[teacher_ends - 1]:
            runs.insert(min(2 * number + 1, len(runs)), piece)
    return {
        "graphs": [graph_message(piece, run_id="r", mode="replay") for piece in cut(GRAPHS, range(0, 40, 4))],
        "predictions": [prediction_message(piece, run_id="r", mode="replay") for piece in runs],
    }


async def run(broker: Broker, seed: int, mode: Mode, *, steps: int | None) -> None:
    """Deliver both sources from where they are committed, in a random interleaving, until all is taken or killed."""
    chance = random.Random(seed)
    broker.steps_left = steps
    hub = broker.hub(mode)
    positions = dict(broker.committed)
    while left := [name for name in positions if positions[name] < len(broker.sources[name])]:
        source = chance.choice(left)
        stop = min(positions[source] + chance.randint(1, 4), len(broker.sources[source]))
        events: list[Any] = [Event(broker, source, offset) for offset in range(positions[source], stop)]
        positions[source] = stop
        await hub.take(source, 0, events)


def expected() -> list[SettledWindow]:
    stage = Stage(OUTCOMES)
    stage.take(GRAPHS, scores(GRAPHS, "student"), scores(GRAPHS, "teacher", seed=8))
    return stage.windows


def each_once(broker: Broker, name: str) -> list[Any]:
    sequence = LoopSequence("test")
    return [record for record in broker.records(name) if sequence.is_new(record)]


def check_no_contradiction(broker: Broker) -> None:
    seen: dict[tuple[str, object], bytes] = {}
    for name in TOPICS:
        for message, record in zip(broker.sent[name], broker.records(name), strict=True):
            match record:
                case Outcome():
                    identity: object = (record.role, record.ts_close)
                case TriggerDecision():
                    identity = record.ts_close
                case _:
                    identity = record.job_id
            assert seen.setdefault((name, identity), message["value"]) == message["value"]


@pytest.mark.parametrize("seed", range(12))
async def test_a_replay_killed_anywhere_says_what_the_core_says(seed: int) -> None:
    broker = Broker(sources())
    chance = random.Random(seed)
    for _ in range(6):
        try:
            await run(broker, chance.randrange(1000), "replay", steps=chance.randrange(60))
        except Killed:
            continue
    await run(broker, seed, "replay", steps=None)
    windows = expected()
    decided, _ = decide(POLICY, TriggerState(), windows, size_ns=SIZE_NS)
    assert each_once(broker, "outcomes") == [outcome for one in windows for outcome in one.outcomes]
    assert each_once(broker, "decisions") == [one.decision for one in decided]
    jobs = [one.job for one in decided if one.job is not None]
    assert len(jobs) >= 2
    assert {job.job_id: job for job in broker.records("jobs")} == {job.job_id: job for job in jobs}
    check_no_contradiction(broker)
    assert broker.checkpoint is not None
    assert Settled.from_bytes(broker.checkpoint).outcomes.ts_close == windows[-1].ts_close


@pytest.mark.parametrize("seed", range(12))
async def test_live_a_role_that_fell_silent_is_given_up_at_the_same_windows(seed: int) -> None:
    undisturbed, broker = (Broker(sources(teacher_ends=20)) for _ in range(2))
    await run(undisturbed, 0, "live", steps=None)
    chance = random.Random(seed)
    for _ in range(6):
        try:
            await run(broker, chance.randrange(1000), "live", steps=chance.randrange(60))
        except Killed:
            continue
    await run(broker, seed, "live", steps=None)
    check_no_contradiction(broker)
    for name in ("outcomes", "decisions"):
        assert each_once(broker, name) == each_once(undisturbed, name)
    students = [one.ts_close for one in each_once(broker, "outcomes") if one.role == "student"]
    assert students == GRAPHS.ts_close[: 40 - 1 - 3].tolist()


async def test_after_a_crash_the_first_policys_decisions_stand() -> None:
    undisturbed = Broker(sources())
    await run(undisturbed, 0, "replay", steps=None)
    broker = Broker(sources())
    with pytest.raises(Killed):
        await run(broker, 0, "replay", steps=1)  # dies with the checkpoint written and nothing sent
    assert broker.order == []
    broker.policy = TriggerPolicy(min_agreement=0, max_psi_features=0, decay_z=0)
    await run(broker, 0, "replay", steps=None)
    assert broker.checkpoint is not None
    assert broker.sent["outcomes"] == undisturbed.sent["outcomes"]
    assert broker.records("decisions")[0] == undisturbed.records("decisions")[0]


async def test_jobs_go_before_decisions_and_decisions_before_outcomes() -> None:
    broker = Broker(sources())
    await run(broker, 0, "replay", steps=None)
    job = broker.records("jobs")[0]
    decided = [one.job_id for one in broker.records("decisions")].index(job.job_id)
    decision = broker.records("decisions")[decided]
    outcome = [one.ts_close for one in broker.records("outcomes")].index(decision.ts_close)
    assert broker.place("jobs", 0) < broker.place("decisions", decided) < broker.place("outcomes", outcome)


async def test_a_message_that_is_none_is_a_dead_letter_and_is_acknowledged() -> None:
    found = sources()
    found["graphs"].insert(0, replace(found["graphs"][0], value=b"nothing"))
    broker = Broker(found)
    await run(broker, 1, "replay", steps=None)
    (letter,) = broker.records("dead")
    assert (letter.source_topic, letter.offset, letter.cause) == ("graphs", 0, "undecodable")
    assert len(each_once(broker, "outcomes")) == 2 * 39
    assert broker.committed["graphs"] == len(found["graphs"]) - 1  # the last snapshot has no label yet


def test_a_checkpoint_of_something_else_is_refused() -> None:
    with pytest.raises(StateDecodeError):
        Settled.from_bytes(TriggerState().to_bytes())
