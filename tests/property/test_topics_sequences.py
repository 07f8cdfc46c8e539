"""Cuts, repetitions and losses: what strategies see and digests say does not depend on them."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.topics.factories import make_graphs, make_predictions, make_trades, make_windows
from topics.cuts import cut_graphs, cut_predictions, cut_windows, slice_predictions
from topics.digest import TickDigest, prediction_digest
from topics.reader_core import PredictionSequence
from topics.runs import TickRun

N = 12
RUN = make_predictions(N, 5)
few = settings(max_examples=100, deadline=None)
pieces = st.lists(st.tuples(st.integers(0, N - 1), st.integers(1, N)), max_size=12)


@few
@given(pieces)
def test_a_reader_sees_each_window_once_in_order_and_every_gap(cuts: list[tuple[int, int]]) -> None:
    sequence = PredictionSequence(universe="test")
    seen: list[int] = []
    missing: list[int] = []
    sent: set[int] = set()
    for start, length in cuts:
        piece = slice_predictions(RUN, start, min(N, start + length))
        reading = sequence.read(piece, 0)
        sent.update(range(piece.seq, piece.seq + len(piece.ts_close)))
        if reading.gap is not None:
            missing.extend(range(reading.gap.first_seq, reading.gap.first_seq + reading.gap.n_windows))
        if reading.run is not None:
            seen.extend(range(reading.run.seq, reading.run.seq + len(reading.run.ts_close)))
    assert seen == sorted(set(seen))
    assert set(seen) <= sent
    if seen:
        # Between the first and the last window seen, each was delivered or reported missing.
        assert sorted(seen + missing) == list(range(seen[0], seen[-1] + 1))


@few
@given(pieces)
def test_the_prediction_digest_depends_on_the_windows_only(cuts: list[tuple[int, int]]) -> None:
    repeated = [slice_predictions(RUN, start, min(N, start + length)) for start, length in cuts]
    assert prediction_digest([*repeated, RUN]) == prediction_digest([RUN])


@few
@given(st.lists(st.integers(0, 30), max_size=6))
def test_the_tick_digest_depends_on_the_ticks_only(bounds: list[int]) -> None:
    records = make_trades(30).records
    whole, cut = TickDigest(), TickDigest()
    whole.update(TickRun("trades", records))
    for part in np.split(records, sorted(bounds)):
        cut.update(TickRun("trades", part))
    assert cut.value() == whole.value()


@few
@given(st.integers(0, 15), st.integers(1, 6), st.integers(1, 5_000))
def test_cut_runs_are_the_run(n_windows: int, n_instruments: int, target_bytes: int) -> None:
    graphs = make_graphs(n_windows, n_instruments)
    cut = list(cut_graphs(graphs, target_bytes))
    assert b"".join(piece.close.tobytes() for piece in cut) == graphs.close.tobytes()
    assert [ts for piece in cut for ts in piece.ts_close.tolist()] == graphs.ts_close.tolist()
    assert [piece.seq + len(piece.ts_close) for piece in cut[:-1]] == [piece.seq for piece in cut[1:]]

    predictions = make_predictions(n_windows, n_instruments)
    assert prediction_digest(cut_predictions(predictions, target_bytes)) == prediction_digest([predictions])

    windows = make_windows(n_windows, n_instruments)
    cut_rows = list(cut_windows(windows, target_bytes))
    assert b"".join(piece.rows.tobytes() for piece in cut_rows) == windows.rows.tobytes()
    frontiers = [piece.frontier_ns for piece in cut_rows]
    assert frontiers == sorted(frontiers)
    assert frontiers[-1] == windows.frontier_ns
    for piece, following in itertools.pairwise(cut_rows):
        assert piece.rows["ts_close"][-1] == piece.frontier_ns < following.rows["ts_close"][0]
