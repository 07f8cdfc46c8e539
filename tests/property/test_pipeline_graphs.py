"""Snapshots and scores: no cut, restart or later tick changes a bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.graph_config import InstrumentDirectory
from pipeline.graph_state import GraphState
from pipeline.graphs import build_graphs
from pipeline.offline import join_graph_runs, partition_ticks, snapshots_from_ticks, windows_from_ticks
from pipeline.scoring import ScoringState, score_run
from tests.unit.pipeline.edges import CONFIG, EDGES
from tests.unit.pipeline.models import ExponentialMean
from tests.unit.pipeline.ticks import SECOND, SIZE, START, tick_runs
from topics.runs import GraphRun, PredictionRun, TickRun
from topics.types import RecordArray

DIRECTORY = InstrumentDirectory({i: f"S{i}" for i in range(1, 20)}, {1: 0, 2: 1, 3: 0}, EDGES)
MODEL = ExponentialMean()
TICKS = tick_runs(max_ticks=60, seconds=200, instruments=6, odd=False)


def rows_of(run: TickRun) -> RecordArray:
    ordered = TickRun(run.schema, run.records[np.argsort(run.records["ts_event"], kind="stable")])
    return np.concatenate(
        [w.rows for w in windows_from_ticks([(0, ordered)], universe="u", size_ns=SIZE, partitions=1)]
    )


def build(rows: RecordArray, cuts: list[int]) -> list[GraphRun]:
    """Build in pieces that end at the given windows, with a round trip through bytes between them."""
    ends = np.unique(rows["ts_close"])
    edges = np.searchsorted(rows["ts_close"], ends[sorted({c % len(ends) for c in cuts})])
    state, runs = GraphState.initial(CONFIG), []
    for piece in np.split(rows, edges):
        run, state = build_graphs(piece, state, DIRECTORY, CONFIG)
        state = GraphState.from_bytes(state.to_bytes(), CONFIG)
        if run is not None:
            runs.append(run)
    return runs


def score(runs: list[GraphRun]) -> list[PredictionRun]:
    state, out = ScoringState.initial(MODEL), []
    for run in runs:
        predictions, state = score_run(MODEL, run, state)
        state = ScoringState.from_bytes(state.to_bytes(), MODEL)
        assert predictions is not None
        out.append(predictions)
    return out


def snapshot_bytes(run: GraphRun) -> dict[str, Any]:
    names = (
        "ts_close",
        "mask",
        "features",
        "close",
        "neighbors",
        "neighbor_weights",
        "instrument_ids",
        "sector",
    )
    rest = {"seq": run.seq, "symbols": run.symbols, "relations": run.relations}
    return {name: getattr(run, name).tobytes() for name in names} | rest


def prediction_rows(runs: list[PredictionRun]) -> list[tuple[Any, ...]]:
    return [
        (run.seq + t, int(run.ts_close[t]), int(run.instrument_ids[n]), run.symbols[n],
         run.scores[t, n].tobytes(), int(run.ranks[t, n]), bool(run.warmup[t]))
        for run in runs
        for t, n in zip(*np.nonzero(run.mask), strict=True)
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(TICKS, st.lists(st.integers(0, 30), max_size=6))
def test_cuts_and_restarts_change_no_bit(run: TickRun, cuts: list[int]) -> None:
    rows = rows_of(run)
    whole, pieces = build(rows, []), build(rows, cuts)
    assert len(whole) == 1
    assert snapshot_bytes(join_graph_runs(pieces)) == snapshot_bytes(whole[0])
    assert prediction_rows(score(pieces)) == prediction_rows(score(whole))


@settings(max_examples=40, deadline=None)
@given(TICKS, st.integers(0, 25), st.integers(0, 25))
def test_what_is_delivered_again_is_dropped(run: TickRun, first: int, overlap: int) -> None:
    rows = rows_of(run)
    (whole,) = build(rows, [])
    last = min(first, len(whole.ts_close) - 1)
    until, since = whole.ts_close[last], whole.ts_close[max(0, last - overlap)]
    head, state = build_graphs(rows[rows["ts_close"] <= until], GraphState.initial(CONFIG), DIRECTORY, CONFIG)
    tail, state = build_graphs(rows[rows["ts_close"] >= since], state, DIRECTORY, CONFIG)
    assert head is not None
    assert state.seq == len(whole.ts_close)
    pieces = [head] if tail is None else [head, tail]
    assert snapshot_bytes(join_graph_runs(pieces)) == snapshot_bytes(whole)
    scored, after = score_run(MODEL, whole, ScoringState.initial(MODEL))
    assert scored is not None
    assert score_run(MODEL, whole, after) == (None, after)


@settings(max_examples=60, deadline=None)
@given(TICKS, TICKS, st.integers(0, 20))
def test_later_ticks_change_nothing_before_them(run: TickRun, other: TickRun, window: int) -> None:
    split = START + window * 10 * SECOND
    before = run.records[run.records["ts_event"] < split]
    after = other.records[other.records["ts_event"] >= split]
    changed = TickRun("trades", np.concatenate([before, after]))
    if not len(changed.records):
        return
    one, two = (
        [r for r in prediction_rows(score(build(rows_of(r), []))) if r[1] <= split] for r in (run, changed)
    )
    assert one == two
    for original, altered in zip(build(rows_of(run), []), build(rows_of(changed), []), strict=True):
        shared = np.intersect1d(
            original.instrument_ids[original.mask[original.ts_close <= split].any(axis=0)],
            altered.instrument_ids,
        )
        for name in ("features", "close", "neighbor_weights", "mask"):
            a, b = (
                getattr(r, name)[r.ts_close <= split][:, np.searchsorted(r.instrument_ids, shared)]
                for r in (original, altered)
            )
            assert a.tobytes() == b.tobytes(), name


@settings(max_examples=40, deadline=None)
@given(TICKS, st.integers(2, 5))
def test_the_number_of_partitions_changes_no_bit(run: TickRun, partitions: int) -> None:
    ordered = TickRun(run.schema, run.records[np.argsort(run.records["ts_event"], kind="stable")])
    one, many = (
        join_graph_runs(snapshots_from_ticks(partition_ticks(ordered, p), DIRECTORY, CONFIG, partitions=p))
        for p in (1, partitions)
    )
    assert snapshot_bytes(one) == snapshot_bytes(many)


@settings(max_examples=40, deadline=None)
@given(TICKS)
def test_snapshots_keep_their_shape(run: TickRun) -> None:
    (graph,) = build(rows_of(run), [])
    assert np.isfinite(graph.features).all()
    assert (np.diff(graph.ts_close) > 0).all()
    assert graph.mask.any(axis=1).all()
    assert not graph.features[~graph.mask].any()
    t, n, k = np.nonzero(graph.neighbors >= 0)
    others = graph.neighbors[t, n, k]
    assert (others != n).all()
    assert graph.mask[t, n].all()
    assert graph.mask[t, others].all()
    assert not graph.neighbor_weights[graph.neighbors < 0].any()
    strength = np.abs(graph.neighbor_weights)
    assert (strength <= 1).all()
    assert graph.relations == (("correlation", 2), ("lead", 2), ("supply", 2))
    for start in (0, 2, 4):
        assert (np.diff(strength[..., start : start + 2], axis=-1) <= 0).all()
