"""Whole messages: value, key, headers and event time agree."""

from __future__ import annotations

import numpy as np

from tests.unit.topics.factories import SIZE_NS, T0, make_graphs, make_predictions, make_trades, make_windows
from topics.control import LatestPrediction, decode_control
from topics.envelope import Envelope
from topics.graphs_codec import decode_graphs
from topics.latest import latest_messages
from topics.messages import control_message, graph_message, prediction_message, tick_message, window_message
from topics.predictions_codec import decode_predictions
from topics.ticks import decode_ticks
from topics.windows_codec import decode_windows

T0_MS = T0 // 1_000_000


def test_a_tick_message_counts_and_names_its_shard() -> None:
    message = tick_message(make_trades(3), run_id="r", mode="replay", seq=10, partition=2)
    envelope = Envelope.from_headers(message.headers)
    assert (envelope.seq, envelope.count, envelope.mode, envelope.run_id) == (10, 3, "replay", "r")
    assert (message.key, message.partition, message.timestamp_ms) == (b"2", 2, T0_MS)
    assert len(decode_ticks(message.value, envelope).records) == 3


def test_runs_are_keyed_by_universe_and_stamped_with_event_time() -> None:
    windows = window_message(make_windows(3), run_id="r", mode="live", seq=4)
    graphs = graph_message(make_graphs(3, seq=8), run_id="r", mode="live")
    predictions = prediction_message(make_predictions(3, seq=9), run_id="r", mode="live")
    for message in (windows, graphs, predictions):
        assert message.key == b"test"
        assert message.timestamp_ms == T0_MS + 3 * SIZE_NS // 1_000_000
    envelopes = [Envelope.from_headers(message.headers) for message in (windows, graphs, predictions)]
    assert [envelope.seq for envelope in envelopes] == [4, 8, 9]
    assert [envelope.count for envelope in envelopes] == [12, 3, 3]
    assert decode_windows(windows.value, envelopes[0]).partition == 0
    assert decode_graphs(graphs.value, envelopes[1]).seq == 8
    assert decode_predictions(predictions.value, envelopes[2]).seq == 9


def test_a_frontier_before_1970_is_stamped_0() -> None:
    message = window_message(make_windows(0, 1, frontier_ns=-5), run_id="r", mode="live", seq=0)
    assert message.timestamp_ms == 0


def test_the_latest_predictions_are_of_the_newest_window() -> None:
    run = make_predictions(3, 6, seed=3)
    messages = latest_messages(run, run_id="r", mode="live")
    present = np.flatnonzero(run.mask[-1])
    assert 0 < len(present) < 6
    decoded = [decode_control(m.value, Envelope.from_headers(m.headers)) for m in messages]
    assert all(isinstance(record, LatestPrediction) for record in decoded)
    assert [record.score for record in decoded] == run.scores[-1, present].tolist()
    assert [record.rank for record in decoded] == run.ranks[-1, present].tolist()
    assert {record.ts_close for record in decoded} == {int(run.ts_close[-1])}
    assert [m.key for m in messages] == [f"test/student/{n + 1}".encode() for n in present]
    assert latest_messages(make_predictions(0), run_id="r", mode="live") == []


def test_a_control_message_may_leave_the_time_to_the_producer() -> None:
    record = latest_record()
    assert control_message(record, run_id="r", mode="live", key=b"k").timestamp_ms is None
    assert control_message(record, run_id="r", mode="live", key=b"k", ts_ns=5_000_000).timestamp_ms == 5


def latest_record() -> LatestPrediction:
    return LatestPrediction(
        universe="u", role="student", model_id="m", instrument_id=1, symbol="A", ts_close=1, score=0.0,
        rank=1, n_instruments=1, warmup=True,
    )  # fmt: skip
