"""What is prepared for a window changes no bit of it, and what does not suit it is not used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pipeline import graph_preparation
from pipeline.announced_relations import Edges
from pipeline.errors import UnknownInstrumentError
from pipeline.graph_config import InstrumentDirectory
from pipeline.graph_preparation import Axis, Preparation, prepare
from pipeline.graph_state import GraphState
from pipeline.graphs import build_graphs
from pipeline.offline import windows_from_ticks
from tests.unit.pipeline.snapshots import CONFIG, DIRECTORY, random_trades
from tests.unit.pipeline.ticks import SIZE
from topics.graphs_codec import encode_graphs
from topics.types import RecordArray

RELATED = replace(DIRECTORY, edges={"related": Edges.from_lists({1: [(2, 0.5)], 3: [(1, -1.0), (4, 0.25)]})})

Prepare = Callable[[GraphState], Preparation | None]


def windows() -> list[RecordArray]:
    """The rows of each window; one instrument comes late, and others are absent now and then."""
    parts = [random_trades(n=180, instruments=4), random_trades(n=90, instruments=7, seed=1)]
    late = parts[1].records[parts[1].records["ts_event"] > np.median(parts[1].records["ts_event"])]
    records = np.concatenate([parts[0].records, late])
    ticks = replace(parts[0], records=records[np.argsort(records["ts_event"], kind="stable")])
    runs = windows_from_ticks([(0, ticks)], universe="u", size_ns=SIZE, partitions=1)
    rows = np.concatenate([run.rows for run in runs])
    return np.split(rows, np.flatnonzero(np.diff(rows["ts_close"])) + 1)


def fold(prepared: Prepare) -> tuple[list[bytes], bytes]:
    state, encoded = GraphState.initial(CONFIG), []
    for rows in windows():
        run, state = build_graphs(rows, state, RELATED, CONFIG, prepared(state))
        assert run is not None
        encoded.append(encode_graphs(run))
    return encoded, state.to_bytes()


def test_prepared_windows_are_the_same_to_the_bit() -> None:
    assert fold(lambda state: prepare(state, RELATED, CONFIG)) == fold(lambda _: None)


def test_a_preparation_can_be_used_again() -> None:
    state = GraphState.initial(CONFIG)
    for rows in windows():
        prepared = prepare(state, RELATED, CONFIG)
        first, _ = build_graphs(rows, state, RELATED, CONFIG, prepared)
        again, state = build_graphs(rows, state, RELATED, CONFIG, prepared)
        assert first is not None
        assert again is not None
        assert encode_graphs(first) == encode_graphs(again)


def test_what_was_prepared_of_another_state_or_directory_is_not_used() -> None:
    stale: list[Preparation] = []

    def one_behind(state: GraphState) -> Preparation:
        stale.append(prepare(state, RELATED, CONFIG))
        return stale[max(len(stale) - 2, 0)]

    expected = fold(lambda _: None)
    assert fold(one_behind) == expected
    assert fold(lambda state: prepare(state, replace(RELATED, sectors={}), CONFIG)) == expected


def test_a_moved_frontier_leaves_a_preparation_as_it_is() -> None:
    rows = windows()
    _, state = build_graphs(rows[0], GraphState.initial(CONFIG), RELATED, CONFIG)
    prepared = prepare(state, RELATED, CONFIG)
    moved = state.passed(state.frontier_ns + 1)
    assert prepared.suits(moved, RELATED, moved.instruments_with(state.instrument_ids))


def test_a_universe_whose_sums_are_too_large_is_prepared_but_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(graph_preparation, "MAX_WORK_BYTES", 100)
    assert prepare(GraphState.initial(CONFIG), RELATED, CONFIG).work is not None  # of nobody
    expected = fold(lambda _: None)
    assert fold(lambda state: prepare(state, RELATED, CONFIG)) == expected


def test_who_was_never_announced_is_named() -> None:
    with pytest.raises(UnknownInstrumentError, match="99"):
        Axis.of(np.array([1, 99], np.uint32), InstrumentDirectory({1: "A"}, {}))
