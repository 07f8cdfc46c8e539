"""Costs that may not come back: no Python for each tick or each window of a run, and few calls for a live window.

Calls are counted, so these tests tell the same on any machine. What numba compiled counts as one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.barrier import WindowBarrier
from pipeline.config import load_config
from pipeline.graph_config import GraphConfig, InstrumentDirectory
from pipeline.graph_preparation import prepare
from pipeline.graph_state import GraphState
from pipeline.graphs import build_graphs
from pipeline.scoring import ScoringState, score_run
from pipeline.windows import WindowAggregator
from tests.performance.counting import n_calls
from tests.unit.cs3g_model.factories import make_runtime
from topics import tick_builders
from topics.envelope import Envelope, Message
from topics.graphs_codec import decode_graphs
from topics.messages import graph_message, prediction_message, tick_message, window_message
from topics.predictions_codec import decode_predictions
from topics.runs import GraphRun, TickRun, WindowRun
from topics.ticks import decode_ticks, heartbeat, join_records
from topics.windows_codec import decode_windows

SIZE_NS = 10**9
START_NS = 1_700_000_000 * SIZE_NS
N, PARTITIONS = 60, 4
CONFIG: GraphConfig = load_config(
    universe="u", window_size_ns=SIZE_NS, tick_partitions=PARTITIONS, mode="live"
).graph
DIRECTORY = InstrumentDirectory({i: f"S{i}" for i in range(1, N + 1)}, {})

ONCE = 20
"""Where arrays grow once."""

LIVE_CALLS = 1170
"""Of 4 partitions from their last messages to the prediction's bytes, a tenth more than on the day of this test."""


def ticks(n_windows: int, per_window: int, partition: int = 0, first: int = 0) -> TickRun:
    """Trades of a partition's instruments, in order, and the heartbeat that closes the last window."""
    rng = np.random.default_rng(first + partition)
    ids = np.arange(1, N + 1)[np.arange(1, N + 1) % PARTITIONS == partition]
    n = n_windows * per_window
    run = tick_builders.trades(
        instrument_id=np.resize(ids, n),
        ts_event=START_NS + first * SIZE_NS + np.arange(n) * (SIZE_NS // per_window),
        price=rng.integers(90, 110, n) * 10**9,
        size=rng.integers(1, 9, n),
    )
    end = heartbeat("trades", START_NS + (first + n_windows) * SIZE_NS)
    return TickRun("trades", join_records([run.records, end.records]))


def message_of(run: TickRun, partition: int = 0) -> Message:
    return tick_message(run, run_id="r", mode="live", seq=0, partition=partition)


def aggregator(partition: int = 0) -> WindowAggregator:
    return WindowAggregator("u", partition, SIZE_NS, 0, partitions=PARTITIONS)


def closed(message: Message, windows: WindowAggregator) -> WindowRun:
    run = windows.fold(decode_ticks(message.value, Envelope.from_headers(message.headers))).closed
    assert run is not None
    return run


def windows_of(n_windows: int, first: int = 0) -> list[WindowRun]:
    return [
        closed(message_of(ticks(n_windows, 30, partition, first), partition), aggregator(partition))
        for partition in range(PARTITIONS)
    ]


def graphs_of(n_windows: int) -> GraphRun:
    barrier = WindowBarrier(PARTITIONS, 0)
    for run in windows_of(n_windows):
        barrier.add(run)
    graphs, _ = build_graphs(barrier.take(), GraphState.initial(CONFIG), DIRECTORY, CONFIG)
    assert graphs is not None
    return graphs


def test_a_thousand_ticks_of_a_message_take_as_many_calls_as_ten() -> None:
    def work(per_window: int) -> Callable[[], object]:
        message = message_of(ticks(1, per_window))
        return lambda: closed(message, aggregator())

    assert n_calls(work(1000)) <= n_calls(work(10)) + ONCE


def a_fold(n_windows: int) -> Callable[[], object]:
    message = message_of(ticks(n_windows, 30))
    return lambda: closed(message, aggregator())


def a_windows_message(n_windows: int) -> Callable[[], object]:
    run = windows_of(n_windows)[0]

    def work() -> object:
        message = window_message(run, run_id="r", mode="live", seq=0)
        return decode_windows(message.value, Envelope.from_headers(message.headers))

    return work


def snapshots(n_windows: int) -> Callable[[], object]:
    runs, state = windows_of(n_windows), GraphState.initial(CONFIG)

    def work() -> object:
        barrier = WindowBarrier(PARTITIONS, 0)
        for run in runs:
            barrier.add(run)
        return build_graphs(barrier.take(), state, DIRECTORY, CONFIG)

    return work


def a_graphs_message(n_windows: int) -> Callable[[], object]:
    graphs = graphs_of(n_windows)

    def work() -> object:
        message = graph_message(graphs, run_id="r", mode="live")
        return decode_graphs(message.value, Envelope.from_headers(message.headers))

    return work


def scores(n_windows: int) -> Callable[[], object]:
    graphs, model = graphs_of(n_windows), make_runtime("student")
    state = ScoringState.initial(model)
    return lambda: score_run(model, graphs, state)


def a_predictions_message(n_windows: int) -> Callable[[], object]:
    model = make_runtime("student")
    predictions, _ = score_run(model, graphs_of(n_windows), ScoringState.initial(model))
    assert predictions is not None

    def work() -> object:
        message = prediction_message(predictions, run_id="r", mode="live")
        return decode_predictions(message.value, Envelope.from_headers(message.headers))

    return work


@pytest.mark.parametrize(
    "piece",
    [a_fold, a_windows_message, snapshots, a_graphs_message, scores, a_predictions_message],
    ids=lambda piece: piece.__name__,
)
def test_hundreds_of_windows_of_a_run_take_as_many_calls_as_a_few(
    piece: Callable[[int], Callable[[], object]],
) -> None:
    assert n_calls(piece(200)) <= n_calls(piece(3)) + ONCE


def test_a_live_window_takes_few_calls() -> None:
    model = make_runtime("student")
    barrier = WindowBarrier(PARTITIONS, 0)
    for run in windows_of(40):
        barrier.add(run)
    graphs, graph_state = build_graphs(barrier.take(), GraphState.initial(CONFIG), DIRECTORY, CONFIG)
    assert graphs is not None
    _, state = score_run(model, graphs, ScoringState.initial(model))
    prepared = prepare(graph_state, DIRECTORY, CONFIG)
    messages = [message_of(ticks(1, 30, partition, first=40), partition) for partition in range(PARTITIONS)]

    def live() -> object:
        barrier = WindowBarrier(PARTITIONS, graph_state.frontier_ns)
        for partition, message in enumerate(messages):
            barrier.add(closed(message, aggregator(partition)))
        snapshot, _ = build_graphs(barrier.take(), graph_state, DIRECTORY, CONFIG, prepared)
        assert snapshot is not None
        predictions, _ = score_run(model, snapshot, state)
        assert predictions is not None
        return prediction_message(predictions, run_id="r", mode="live")

    calls = n_calls(live)
    assert 0 < calls <= LIVE_CALLS, f"{calls} calls"
