"""What a session collects from a broker: each thing once, by the pipeline's own rules."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from cs3g.collect import Collected, Collector, slowest_close
from tests.integration.broker_topics import make_topics, send
from tests.unit.topics.factories import T0, make_graphs, make_predictions, make_ts_close, make_windows
from topics.control import DeadLetter
from topics.cuts import slice_predictions
from topics.envelope import Message
from topics.errors import BrokerUnavailable
from topics.messages import control_message, graph_message, prediction_message, window_message
from topics.runs import PredictionRun, WindowRun
from topics.specs import TopicNames
from topics.types import NANOS_PER_SECOND as S

pytestmark = pytest.mark.broker


async def collected(bootstrap: str, names: TopicNames, sent: dict[str, Iterable[Message]]) -> Collected:
    for topic, messages in sent.items():
        await send(bootstrap, topic, messages)
    async with Collector(bootstrap, names, "test") as collector:
        await collector.drain()
        return collector.found


def windows(run: WindowRun) -> Message:
    return window_message(run, run_id="r", mode="replay", seq=0)


def predictions(run: PredictionRun) -> Message:
    return prediction_message(run, run_id="r", mode="replay")


def letter(offset: int, cause: str = "late", n: int = 2, partition: int = 0) -> Message:
    record = DeadLetter(cause=cause, source_topic="t", partition=partition, offset=offset, n_records=n)
    return control_message(record, run_id="r", mode="replay", key=b"t")


async def test_windows_count_as_they_were_emitted_first(bootstrap_servers: str, run_id: str) -> None:
    names = await make_topics(bootstrap_servers, run_id)
    first = make_windows(3)
    longer = make_windows(5, seed=1)  # emitted again after a restart, and two windows more
    other = make_windows(1, seed=2, partition=1)
    passed = make_windows(0, partition=1, frontier_ns=T0 + 9 * S)
    messages = [windows(run) for run in (first, longer, first, other, passed)]
    for message in messages:
        await send(bootstrap_servers, names.windows, [message])
    async with Collector(bootstrap_servers, names, "test") as collector:
        await collector.drain()
        found = collector.found
        assert collector.frontier_ns(2) == T0 + 5 * S
        assert collector.frontier_ns(3) == -1  # the third partition has closed nothing
    ticks = first.rows["n_ticks"].sum() + longer.rows["n_ticks"][12:].sum() + other.rows["n_ticks"].sum()
    assert found.window_ticks == ticks
    assert found.last_window_ns == T0 + 5 * S


async def test_snapshots_count_once(bootstrap_servers: str, run_id: str) -> None:
    names = await make_topics(bootstrap_servers, run_id)
    messages = [graph_message(make_graphs(n), run_id="r", mode="replay") for n in (3, 3, 5)]
    found = await collected(bootstrap_servers, names, {names.graphs: messages})
    assert found.windows == 5
    assert [len(piece.ts_close) for piece in found.closes] == [3, 2]
    assert found.closes[1].ts_close.tolist() == make_ts_close(5)[3:].tolist()
    assert (found.closes[1].close == make_graphs(5).close[3:]).all()


async def test_predictions_are_kept_once_and_contradictions_and_gaps_noticed(
    bootstrap_servers: str, run_id: str
) -> None:
    names = await make_topics(bootstrap_servers, run_id)
    whole = make_predictions(8, presence=1.0)
    different = slice_predictions(make_predictions(8, presence=1.0, seed=1), 1, 2)
    teacher = make_predictions(2, role="teacher", model_id="fedcba9876543210")
    stranger = make_predictions(2, universe="other")
    runs = [
        slice_predictions(whole, 0, 3),
        slice_predictions(whole, 2, 4),
        different,
        slice_predictions(whole, 6, 8),
        teacher,
        stranger,
    ]
    sent = {names.predictions: [predictions(run) for run in runs]}
    found = await collected(bootstrap_servers, names, sent)
    kept = [end for run in found.predictions if run.role == "student" for end in run.ts_close.tolist()]
    assert kept == [*whole.ts_close[:4].tolist(), *whole.ts_close[6:].tolist()]
    assert (found.digest.n_duplicates, found.digest.n_conflicts) == (1, 1)
    assert [(gap.first_seq, gap.n_windows) for gap in found.gaps] == [(4, 2)]
    assert found.last_close == {"student": whole.ts_close[-1], "teacher": teacher.ts_close[-1]}
    assert slowest_close(found.last_close, ("student", "teacher")) == teacher.ts_close[-1]
    assert slowest_close({"student": 5}, ("student", "teacher")) == 0


async def test_dead_letters_count_once_for_a_message_and_cause(bootstrap_servers: str, run_id: str) -> None:
    names = await make_topics(bootstrap_servers, run_id)
    letters = [letter(1), letter(1), letter(1, "no_quote", 3), letter(2), letter(1, partition=1, n=4)]
    found = await collected(bootstrap_servers, names, {names.dead_letters: letters})
    assert found.refused == {"late": 2 + 2 + 4, "no_quote": 3}


async def test_a_broker_that_is_not_there_is_named(bootstrap_servers: str, run_id: str) -> None:
    names = await make_topics(bootstrap_servers, run_id)
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
        async with Collector("127.0.0.1:1", names, "test"):
            pass
