"""A live worker whose stages hand windows over, killed at any message: nothing is lost, and no byte is another.

The three stages are the real ones; their broker is lists. What lies on a topic reaches its stage in batches and with
lags that hypothesis chooses, so that a handover comes long before its message or has to be declined. A kill loses
what was on its way, either before or after the broker had it, and a new worker starts from the last commits and
checkpoints.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.agents import checkpoints, models
from pipeline.config import PipelineConfig
from tests.property.list_broker import Killed, published
from tests.property.live_streams import (
    Stream,
    graphs_of,
    predictions_of,
    regular_stream,
    require_what_offline_gives,
    shown,
    streams,
)
from tests.property.live_worker import Broker, Move, Worker
from tests.unit.pipeline.ticks import SECOND, SIZE, START
from topics import tick_builders
from topics.runs import TickRun
from topics.tail import Record
from topics.ticks import heartbeat

Life = tuple[int, bool, list[Move]]
"""Messages that are sent before the kill; whether the broker had the last one; moves, again and again."""

ALL = 10**6

COUNTS = [1, 1, 1, 2, 0, 4]

KEEP_UP: list[Move] = [("ticks", 1, 1, True), ("windows", ALL, 0, False), ("graphs", ALL, 0, True)]


async def live(broker: Broker, config: PipelineConfig, lives: list[Life]) -> None:
    """Run one worker after another; the last one lives, and takes all that there is."""
    for steps, is_late, moves in lives:
        broker.steps_left, broker.is_late = steps, is_late
        worker = Worker(broker, config)
        try:
            for move in [*moves * 12, *KEEP_UP * 12]:
                await worker.move(move)
        except Killed:
            continue
    broker.steps_left = None
    worker = Worker(broker, config)
    while worker.has_work:
        for move in KEEP_UP:
            await worker.move(move)


@pytest.fixture(autouse=True)
def current(monkeypatch: pytest.MonkeyPatch) -> list[Broker]:
    """Let the code under test read the predictions topic's end, of the broker in this list."""
    brokers: list[Broker] = []

    async def read_tail(
        _: str, topic: str, is_enough: Callable[[Sequence[Record]], bool], *, after: int = 0, **__: Any
    ) -> list[Record]:
        log = brokers[0].predictions
        return [Record(n, None, log[n].value, log[n].headers) for n in range(after, len(log))]

    async def end_offset(*_: Any) -> int:
        return len(brokers[0].predictions)

    monkeypatch.setattr(models, "read_tail", read_tail)
    monkeypatch.setattr(models, "end_offset", end_offset)
    monkeypatch.setattr(checkpoints, "INTERVAL_S", 0.0)
    return brokers


MOVES: st.SearchStrategy[list[Move]] = st.lists(
    st.one_of(
        st.tuples(st.just("ticks"), st.sampled_from(COUNTS), st.sampled_from(COUNTS), st.booleans()),
        st.tuples(
            st.sampled_from(["windows", "graphs", "checkpoint", "prepare"]),
            st.sampled_from(COUNTS),
            st.just(0),
            st.booleans(),
        ),
    ),
    min_size=2,
    max_size=8,
)
LIVES: st.SearchStrategy[list[Life]] = st.lists(
    st.tuples(st.integers(0, 80), st.booleans(), MOVES), min_size=2, max_size=6
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(streams(), LIVES)
def test_kills_at_any_message_lose_nothing_and_change_no_byte(
    current: list[Broker], stream: Stream, lives: list[Life]
) -> None:
    broker = stream.broker()
    current[:] = [broker]
    asyncio.run(live(broker, stream.config, lives))
    require_what_offline_gives(broker, stream)


async def test_a_worker_that_keeps_up_predicts_before_the_windows_topic_delivers(
    current: list[Broker],
) -> None:
    stream = regular_stream(10)
    broker = stream.broker()
    current[:] = [broker]
    worker = Worker(broker, stream.config)
    for window in range(11):
        await worker.take_ticks(1, 1)
        ended = [START + (n + 1) * SIZE for n in range(window)]
        early = sorted(published(predictions_of(broker)))
        assert early == (ended if window != 1 else [])  # the first windows of a worker are left to the topic
        await worker.take_windows(ALL)
        await worker.take_graphs(ALL)
        assert sorted(published(predictions_of(broker))) == ended
    assert len(predictions_of(broker)) == len(graphs_of(broker)) == 10  # each once
    require_what_offline_gives(broker, stream)


async def test_what_the_topic_has_to_bring_first_is_not_skipped(current: list[Broker]) -> None:
    stream = regular_stream(10)
    broker = stream.broker()
    current[:] = [broker]
    worker = Worker(broker, stream.config)

    def ends() -> tuple[int, int]:
        return len(shown(graphs_of(broker))), len(published(predictions_of(broker)))

    for _ in range(3):
        await worker.take_ticks(1, 1)
        await worker.take_windows(ALL)
        await worker.take_graphs(ALL)
    assert ends() == (2, 2)
    await worker.take_ticks(3, 3)  # a backlog, which waits on the topic
    await worker.take_ticks(1, 1)
    assert ends() == (2, 2)  # declined: windows 3 to 5 would be skipped
    await worker.take_windows(ALL)
    assert ends() == (6, 2)
    await worker.take_ticks(1, 1)
    assert ends() == (7, 2)  # handed over to the graphs, and declined by the scoring, which lags behind
    await worker.take_graphs(1)
    _, n_predicted = ends()
    assert 2 < n_predicted < 7
    await worker.take_ticks(1, 1)
    assert ends() == (8, n_predicted)
    await worker.take_graphs(ALL)
    await worker.take_ticks(ALL, ALL)
    await worker.take_windows(ALL)
    await worker.take_graphs(ALL)
    require_what_offline_gives(broker, stream)


async def test_a_window_that_a_new_worker_saw_in_part_is_left_to_the_topic(current: list[Broker]) -> None:
    def tick(instrument: int, window: int, second: int) -> TickRun:
        return tick_builders.trades(
            instrument_id=[instrument],
            ts_event=[START + window * SIZE + second * SECOND],
            price=[100 * SECOND],
            size=[1],
        )

    ticks = [tick(2, 0, 0), tick(2, 1, 0), tick(4, 1, 5), tick(2, 2, 0)]
    end = heartbeat("trades", START + 3 * SIZE)
    stream = Stream([[*ticks, end], [end]])
    broker = stream.broker()
    current[:] = [broker]
    first = Worker(broker, stream.config)
    await first.take_ticks(1, 1)
    await first.take_ticks(1, 0)
    await first.take_ticks(2, 0)  # together they wait for the third window
    assert broker.commits["ticks", 0] == 2  # of the second window, which is sent, the second tick comes again
    n_windows = len(broker.windows)
    second = Worker(broker, stream.config)
    await second.take_windows(n_windows - 1)
    for _ in range(2):
        await second.take_ticks(1, 0)
    while second.has_work:
        for move in KEEP_UP:
            await second.move(move)
    require_what_offline_gives(broker, stream)
