"""The scoring agent killed at any message around a change of models: the same bytes, and never two models' windows.

The agent is the real one; its broker is lists. A kill loses what was on its way, either before or after the broker
had it, and a new agent starts from the last checkpoint and the last commit, over batches cut otherwise.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cs3g_model.protocol import StreamingModel
from pipeline.agents import checkpoints, models, scoring
from pipeline.agents.checkpoints import Checkpoints
from pipeline.agents.serving_model import ServingModel
from pipeline.config import PipelineConfig, load_config
from pipeline.offline import join_graph_runs, snapshots_from_ticks
from pipeline.scoring import ScoringState, score_run
from pipeline.serving import ModelRefusedError
from tests.property.list_broker import BrokersChangelog, DyingBroker, Killed, Topic, published
from tests.unit.pipeline.models import ExponentialMean
from tests.unit.pipeline.snapshots import CONFIG, DIRECTORY, random_trades
from topics.announcements import Announced
from topics.control import ModelAnnouncement
from topics.cuts import slice_graphs
from topics.envelope import Envelope, Message
from topics.messages import graph_message
from topics.predictions_codec import decode_predictions
from topics.runs import GraphRun, PredictionRun
from topics.tail import Record

RUN = join_graph_runs(
    snapshots_from_ticks(
        [(0, random_trades(150, instruments=3, seconds=400, seed=2))], DIRECTORY, CONFIG, partitions=1
    )
)
ENDS = RUN.ts_close.tolist()
N = len(ENDS)
WARM = 6
MODELS = {
    letter: ExponentialMean(model_id=letter * 16, decay=decay)
    for letter, decay in (("a", 0.5), ("b", 0.8), ("c", 0.9))
}
SETTINGS = load_config(
    mode="replay", topic_prefix="replay.t.", run_id="t", universe="u", warm_windows=WARM, max_run_bytes=1024
)


@dataclass
class Broker(DyingBroker):
    """Topics, the changelog, the group's commit; and when the agent dies."""

    graphs: list[Message]
    announcements: list[Announced] = field(default_factory=list)
    predictions: list[Message] = field(default_factory=list)
    dead: list[Message] = field(default_factory=list)
    changelog: list[tuple[bytes, bytes]] = field(default_factory=list)
    committed: int = 0

    def runs(self) -> list[PredictionRun]:
        return [decode_predictions(m.value, Envelope.from_headers(m.headers)) for m in self.predictions]


class BrokersModels(models.Models):
    """Announcements and models from lists; what was published is read by the code under test."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(SETTINGS, "student")
        self._broker, self._read = broker, 0

    async def announced(self) -> list[Announced]:
        start, self._read = self._read, len(self._broker.announcements)
        return self._broker.announcements[start:]

    async def load(self, model_id: str, sha256: str) -> StreamingModel:
        if model_id[0] not in MODELS:
            raise ModelRefusedError(f"model {model_id!r} is refused: it is absent", model_id=model_id)
        return MODELS[model_id[0]]


def serving_on(broker: Broker, configured: str = "a", settings: PipelineConfig = SETTINGS) -> ServingModel:
    dead_letters: Any = Topic(broker, broker.dead)
    return ServingModel(settings, MODELS[configured], BrokersModels(broker), dead_letters)


def agent(
    broker: Broker,
    configured: str = "a",
    *,
    settings: PipelineConfig = SETTINGS,
    serving: ServingModel | None = None,
) -> scoring.ScoringStage:
    return scoring.ScoringStage(
        SimpleNamespace(),  # type: ignore[arg-type]
        settings,
        SimpleNamespace(),  # type: ignore[arg-type]
        serving=serving or serving_on(broker, configured),
        checkpoints=Checkpoints(BrokersChangelog(broker, broker.changelog), b"u"),
        predictions_topic=Topic(broker, broker.predictions),  # type: ignore[arg-type]
        latest_topic=None,
        dead_letters_topic=Topic(broker, broker.dead),  # type: ignore[arg-type]
    )


@pytest.fixture
def broker_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[int]], Broker]:
    """Make a broker, and let the code under test read its topics' ends."""
    current: list[Broker] = []

    async def read_tail(
        _: str,
        topic: str,
        is_enough: Callable[[Sequence[Record]], bool],
        *,
        after: int = 0,
        before: int | None = None,
        **__: Any,
    ) -> list[Record]:
        log = current[-1].graphs if "graphs" in topic else current[-1].predictions
        stop = len(log) if before is None else before
        start = stop
        while start > after:
            start = max(after, start - 3)
            found = [Record(n, None, log[n].value, log[n].headers) for n in range(start, stop)]
            if is_enough(found):
                return found
        return [Record(n, None, log[n].value, log[n].headers) for n in range(after, stop)]

    async def end_offset(*_: Any) -> int:
        return len(current[-1].predictions)

    monkeypatch.setattr(models, "read_tail", read_tail)
    monkeypatch.setattr(models, "end_offset", end_offset)

    def make(cuts: list[int]) -> Broker:
        broker = Broker([graph_message(run, run_id="t", mode="replay") for run in pieces(RUN, cuts)])
        current.append(broker)
        return broker

    return make


def pieces(run: GraphRun, cuts: list[int]) -> Iterator[GraphRun]:
    places = sorted({0, N, *(cut % N for cut in cuts)})
    for start, stop in itertools.pairwise(places):
        yield slice_graphs(run, start, stop)


def announcement(offset: int, letter: str, since: int, seq: int) -> Announced:
    record = ModelAnnouncement(
        universe="u", role="student", model_id=letter * 16, sha256="0" * 64, since_ts_close=since, seq=seq
    )
    return Announced(offset, record)


async def run(
    broker: Broker,
    lives: list[tuple[int, bool, int, bool]],
    announce: Callable[[int], None] = lambda _: None,
) -> None:
    """Feed the topic to one agent after another, the last one lives; `announce` gets the number of batches so far."""
    batches = itertools.count()
    for steps, is_late, batch, is_eager in [*lives, (None, False, 4, True)]:
        broker.steps_left, broker.is_late = steps, is_late
        checkpoints.INTERVAL_S = 0.0 if is_eager else 1e9
        stage, position = agent(broker), broker.committed
        try:
            while position < len(broker.graphs):
                announce(next(batches))
                events = [
                    event(broker, n) for n in range(position, min(position + batch, len(broker.graphs)))
                ]
                await stage.process(0, events)
                position += len(events)
        except Killed:
            continue


def event(broker: Broker, offset: int) -> Any:
    message = broker.graphs[offset]

    def ack() -> None:
        broker.committed = max(broker.committed, offset + 1)

    shown = SimpleNamespace(
        headers=message.headers, value=message.value, offset=offset, partition=0, topic="graphs"
    )
    return SimpleNamespace(message=shown, ack=ack)


def oracle(changes: list[tuple[int, str]]) -> list[PredictionRun]:
    """Score by segments of windows: (first window, model); each model is warmed on the windows before its own."""
    runs = []
    for (start, letter), (stop, _) in zip(changes, [*changes[1:], (N, "")], strict=True):
        model, recent = MODELS[letter], slice_graphs(RUN, max(0, start - WARM), start)
        _, state = score_run(model, recent, ScoringState.initial(model))
        predictions, _ = score_run(model, slice_graphs(RUN, start, stop), replace(state, seq=start))
        if predictions is not None:
            runs.append(predictions)
    return runs


def takeovers(broker: Broker) -> list[tuple[int, str]]:
    """Return (first window, model) of each change, by the checkpoints that became valid.

    A model that is called back before its first window, by a kill after it took over, is among them.
    """
    changes, chunks = [(0, "a")], dict[bytes, bytes]()
    for key, value in broker.changelog:
        if key != b"u":
            chunks[key] = value
            continue
        state = ScoringState.from_bytes(chunks[b"u/%d/0" % msgspec.json.decode(value)["side"]])
        if state.model_id[0] != changes[-1][1]:
            changes.append((state.seq, state.model_id[0]))
    return changes


@pytest.fixture(autouse=True)
def _interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "INTERVAL_S", 0.0)


LIVES = st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.integers(1, 6), st.booleans()), max_size=6)
CUTS = st.lists(st.integers(0, N - 1), max_size=15)
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_there_are_windows_enough() -> None:
    assert N > 30


@QUICK
@given(CUTS, LIVES, st.integers(0, N - 1), st.integers(0, N - 1))
def test_what_was_announced_before_gives_the_same_bytes_whatever_is_killed_and_cut(
    broker_for: Callable[[list[int]], Broker],
    cuts: list[int],
    lives: list[tuple[int, bool, int, bool]],
    first: int,
    second: int,
) -> None:
    broker = broker_for(cuts)
    first, second = sorted((first, second))
    broker.announcements += [
        announcement(0, "b", ENDS[first], 1),
        announcement(1, "x", ENDS[first], 2),  # is not there, and must disturb nothing
        announcement(2, "c", ENDS[second], 3),
    ]
    asyncio.run(run(broker, lives))
    changes = [(0, "a"), (first + 1, "b"), (second + 1, "c")]
    assert published(broker.runs()) == published(oracle([c for c in changes if c[0] <= N]))
    assert len(broker.dead) >= 1


@QUICK
@given(
    CUTS,
    LIVES,
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from("abc"), st.integers(0, N - 1)), max_size=4),
)
@example(cuts=[1, 20], lives=[(0, False, 1, False), (8, True, 1, False)], moments=[(3, "b", 0), (4, "a", 0)])
def test_announcements_at_any_moment_never_mix_models(
    broker_for: Callable[[list[int]], Broker],
    cuts: list[int],
    lives: list[tuple[int, bool, int, bool]],
    moments: list[tuple[int, str, int]],
) -> None:
    broker = broker_for(cuts)
    waiting = sorted(moments)

    def announce(batches: int) -> None:
        while waiting and waiting[0][0] <= batches:
            _, letter, since = waiting.pop(0)
            number = len(broker.announcements)
            broker.announcements.append(announcement(number, letter, ENDS[since], number + 1))

    asyncio.run(run(broker, lives, announce))
    found = published(broker.runs())
    assert sorted(found) == ENDS
    assert {len(contents) for contents in found.values()} == {1}  # never two models, never other bytes
    assert found == published(oracle(takeovers(broker)))


def test_a_setting_changes_the_model_behind_what_was_published(
    broker_for: Callable[[list[int]], Broker],
) -> None:
    broker = broker_for(list(range(0, N, 2)))

    async def two_releases() -> None:
        checkpoints.INTERVAL_S = 1e9  # one checkpoint, before the first prediction
        await agent(broker).process(0, [event(broker, n) for n in range(5)])
        assert broker.committed == 0
        await agent(broker, "b").process(0, [event(broker, n) for n in range(len(broker.graphs))])

    asyncio.run(two_releases())
    assert published(broker.runs()) == published(oracle([(0, "a"), (10, "b")]))
    assert np.unique([run.model_id for run in broker.runs()]).tolist() == ["a" * 16, "b" * 16]


def test_live_a_timer_looks_beside_the_work_and_a_batch_decides(
    broker_for: Callable[[list[int]], Broker],
) -> None:
    broker = broker_for(list(range(N)))
    live = load_config(universe="u", warm_windows=WARM, max_run_bytes=1024)

    async def go_live() -> None:
        serving = serving_on(broker, settings=live)
        stage = agent(broker, settings=live, serving=serving)
        await stage.process(0, [event(broker, n) for n in range(10)])
        broker.announcements.append(announcement(0, "b", 0, 1))
        await stage.process(0, [event(broker, n) for n in range(10, 15)])  # nobody has looked
        await serving.watch()
        broker.announcements.append(announcement(1, "x", 0, 2))
        await serving.watch()  # loads nothing, says nothing, and leaves it to the batch
        await stage.process(0, [event(broker, n) for n in range(15, N)])

    asyncio.run(go_live())
    assert published(broker.runs()) == published(oracle([(0, "a"), (15, "b")]))
    assert len(broker.dead) == 1


def test_a_checkpoint_whose_announced_model_is_gone_stops_the_worker(
    broker_for: Callable[[list[int]], Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = broker_for(list(range(N)))
    broker.announcements.append(announcement(0, "b", ENDS[4], 1))
    asyncio.run(agent(broker).process(0, [event(broker, n) for n in range(9)]))
    monkeypatch.delitem(MODELS, "b")
    published = len(broker.predictions)
    with pytest.raises(ModelRefusedError, match="absent"):
        asyncio.run(agent(broker).process(0, [event(broker, n) for n in range(9, N)]))
    assert len(broker.predictions) == published


def test_a_configured_model_that_is_gone_is_followed_by_the_one_configured_now(
    broker_for: Callable[[list[int]], Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = broker_for(list(range(N)))

    async def until_killed() -> None:
        checkpoints.INTERVAL_S = 1e9  # the first ten windows are published, their checkpoint is not
        await agent(broker).process(0, [event(broker, n) for n in range(10)])

    asyncio.run(until_killed())
    expected = published(oracle([(0, "a"), (10, "b")]))
    monkeypatch.delitem(MODELS, "a")
    asyncio.run(agent(broker, "b").process(0, [event(broker, n) for n in range(N)]))
    assert published(broker.runs()) == expected


def test_a_successor_that_dies_before_it_has_caught_up_does_not_hide_what_was_published(
    broker_for: Callable[[list[int]], Broker],
) -> None:
    broker = broker_for(list(range(N)))

    async def three_lives() -> None:
        checkpoints.INTERVAL_S = 1e9  # twenty windows are published, their checkpoint is not
        await agent(broker).process(0, [event(broker, n) for n in range(20)])
        checkpoints.INTERVAL_S = 0.0  # five of them again, with a checkpoint behind them
        await agent(broker).process(0, [event(broker, n) for n in range(5)])
        broker.announcements.append(announcement(0, "b", 0, 1))
        await agent(broker).process(0, [event(broker, n) for n in range(5, N)])

    asyncio.run(three_lives())
    assert published(broker.runs()) == published(oracle([(0, "a"), (20, "b")]))
