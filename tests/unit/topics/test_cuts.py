"""Cuts at window boundaries."""

from __future__ import annotations

import numpy as np

from tests.unit.topics.factories import T0, make_graphs, make_predictions, make_windows
from topics.cuts import cut_graphs, cut_predictions, cut_windows
from topics.runs import WINDOW_ROW_DTYPE

ROW = WINDOW_ROW_DTYPE.itemsize


def test_pieces_follow_each_other_and_stay_near_the_target() -> None:
    run = make_graphs(20, 10, seq=5)
    arrays = (run.features, run.close, run.mask, run.neighbors, run.neighbor_weights)
    n_bytes = sum(array.nbytes for array in arrays)
    pieces = list(cut_graphs(run, target_bytes=n_bytes * 6 // 20))
    assert [len(piece.ts_close) for piece in pieces] == [6, 6, 6, 2]
    assert [piece.seq for piece in pieces] == [5, 11, 17, 23]
    assert np.concatenate([piece.features for piece in pieces]).tobytes() == run.features.tobytes()
    assert np.concatenate([piece.neighbors for piece in pieces]).tobytes() == run.neighbors.tobytes()


def test_a_piece_holds_at_least_one_window() -> None:
    assert [len(piece.ts_close) for piece in cut_predictions(make_predictions(3), target_bytes=1)] == [
        1,
        1,
        1,
    ]
    assert [len(piece.ts_close) for piece in cut_predictions(make_predictions(3, presence=0))] == [3]


def test_windows_are_never_split_and_frontiers_follow_the_rows() -> None:
    run = make_windows(5, 4, frontier_ns=T0 + 10**12)
    pieces = list(cut_windows(run, target_bytes=9 * ROW))
    assert [len(piece.rows) for piece in pieces] == [8, 8, 4]
    assert np.concatenate([piece.rows for piece in pieces]).tobytes() == run.rows.tobytes()
    assert [piece.frontier_ns for piece in pieces] == [
        int(run.rows["ts_close"][7]), int(run.rows["ts_close"][15]), run.frontier_ns,
    ]  # fmt: skip


def test_a_window_larger_than_a_piece_stays_whole() -> None:
    assert [len(piece.rows) for piece in cut_windows(make_windows(3, 4), target_bytes=ROW)] == [4, 4, 4]


def test_a_run_without_rows_keeps_its_frontier_in_one_piece() -> None:
    (piece,) = cut_windows(make_windows(0, 4))
    assert piece.frontier_ns == T0
