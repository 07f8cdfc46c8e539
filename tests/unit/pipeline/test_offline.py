from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import GraphRunError
from pipeline.offline import (
    TickCounts,
    join_graph_runs,
    partition_ticks,
    score_runs,
    snapshots_from_ticks,
    windows_from_ticks,
)
from tests.unit.pipeline.models import ExponentialMean
from tests.unit.pipeline.snapshots import CONFIG, DIRECTORY, graph_run, random_trades
from tests.unit.pipeline.ticks import SECOND, SIZE, cut, trades, ts
from topics.cuts import slice_graphs
from topics.runs import TickRun
from topics.ticks import heartbeat


def test_partitions_split_by_instrument_and_share_heartbeats() -> None:
    run = trades((0, 1, 1, 1, b"B"), (1, 2, 1, 1, b"B"), (2, 5, 1, 1, b"B"))
    beat = TickRun("trades", np.concatenate([run.records, heartbeat("trades", ts(3)).records]))
    parts = {p: r.records["instrument_id"].tolist() for p, r in partition_ticks(beat, 4)}
    assert parts == {0: [0], 1: [1, 5, 0], 2: [2, 0], 3: [0]}
    assert [p for p, _ in partition_ticks(run, 4)] == [1, 2]


def test_every_tick_is_counted_once() -> None:
    good = random_trades()
    odd = trades((500, 1, 0, 1, b"B"), (500, 1, 100, 1, b"B"), (3, 1, 100, 1, b"B"))
    beat = heartbeat("trades", ts(600))
    counts = TickCounts()
    rows = [
        run.rows
        for run in windows_from_ticks(
            [(0, good), (0, odd), (0, beat)], universe="u", size_ns=SIZE, partitions=1, counts=counts
        )
    ]
    assert counts.n_ticks == len(good.records) + 3
    assert (counts.n_late, counts.n_invalid, counts.invalid_causes) == (1, 1, {"price_not_positive": 1})
    assert counts.n_window_ticks == sum(r["n_ticks"].sum() for r in rows) == counts.n_ticks - 2


def test_partitions_that_never_tick_do_not_hold_windows_back() -> None:
    run = trades((0, 1, 100, 1, b"B"), (50, 1, 100, 1, b"B"))
    runs = list(snapshots_from_ticks(partition_ticks(run, 4), DIRECTORY, CONFIG, partitions=4))
    assert join_graph_runs(runs).ts_close.tolist() == [ts(10), ts(60)]


def test_no_ticks_give_no_windows() -> None:
    assert list(windows_from_ticks([], universe="u", size_ns=SIZE, partitions=2)) == []
    with pytest.raises(GraphRunError, match="no snapshots"):
        join_graph_runs(snapshots_from_ticks([], DIRECTORY, CONFIG, partitions=2))


def test_lateness_lets_disordered_ticks_in() -> None:
    run = random_trades()
    shuffled = TickRun("trades", run.records[np.random.default_rng(0).permutation(len(run.records))])
    counts = TickCounts()
    disordered = join_graph_runs(
        snapshots_from_ticks(
            ((0, piece) for piece in cut(shuffled, 9)),
            DIRECTORY, CONFIG, partitions=1, allowed_lateness_ns=400 * SECOND, counts=counts,
        )
    )  # fmt: skip
    assert counts.n_late == 0
    assert disordered.mask.tolist() == graph_run().mask.tolist()


def test_joined_runs_place_instruments_that_came_later() -> None:
    first = trades((0, 2, 100, 1, b"B"), (1, 7, 100, 1, b"B"))
    second = trades((10, 1, 100, 1, b"B"), (11, 7, 100, 1, b"B"), (12, 2, 100, 1, b"B"))
    whole = join_graph_runs(snapshots_from_ticks([(0, first), (0, second)], DIRECTORY, CONFIG, partitions=1))
    (alone,) = snapshots_from_ticks([(0, first)], DIRECTORY, CONFIG, partitions=1)
    assert whole.mask.tolist() == [[False, True, True], [True, True, True]]
    assert whole.features[0, 1:].tobytes() == alone.features[0].tobytes()


def test_only_consecutive_runs_join() -> None:
    run = graph_run()
    assert join_graph_runs([slice_graphs(run, 2, 5), slice_graphs(run, 5, 9)]).seq == 2
    with pytest.raises(GraphRunError, match="seq 5 was expected"):
        join_graph_runs([slice_graphs(run, 2, 5), slice_graphs(run, 6, 9)])


def test_scores_of_pieces_are_the_scores_of_the_whole() -> None:
    run, model = graph_run(), ExponentialMean()
    pieces = [slice_graphs(run, 0, 4), slice_graphs(run, 4, 5), slice_graphs(run, 5, len(run.ts_close))]
    (whole,) = score_runs(model, [run])
    scored = list(score_runs(model, pieces))
    assert [p.seq for p in scored] == [0, 4, 5]
    assert np.concatenate([p.scores for p in scored]).tobytes() == whole.scores.tobytes()
    assert np.concatenate([p.ranks for p in scored]).tobytes() == whole.ranks.tobytes()
