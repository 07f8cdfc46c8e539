from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cs3g_model.features import FEATURE_NAMES
from pipeline.announced_relations import Edges
from pipeline.errors import StateDecodeError, StateMismatchError, UnknownInstrumentError, WindowRunError
from pipeline.graph_config import GraphConfig, InstrumentDirectory
from pipeline.graph_state import GraphState
from pipeline.graphs import build_graphs, iter_graphs, snapshots_of
from pipeline.offline import join_graph_runs, windows_from_ticks
from pipeline.state_bytes import encode_state
from tests.unit.pipeline.snapshots import CONFIG, DIRECTORY, graph_run, random_trades
from tests.unit.pipeline.ticks import SIZE, trades, ts
from topics.control import Instrument, Related
from topics.envelope import ARROW, Envelope
from topics.graphs_codec import decode_graphs, encode_graphs
from topics.runs import TickRun
from topics.types import UNDEF_PRICE, RecordArray


def rows_of(run: TickRun) -> RecordArray:
    return np.concatenate(
        [w.rows for w in windows_from_ticks([(0, run)], universe="u", size_ns=SIZE, partitions=1)]
    )


def test_a_snapshot_says_who_ticked_at_what_price() -> None:
    rows = rows_of(
        trades((0, 3, 100, 1, b"B"), (1, 1, 50, 1, b"B"), (25, 2, 70, 1, b"B"), (26, 3, 110, 1, b"B"))
    )
    run, state = build_graphs(rows, GraphState.initial(CONFIG), DIRECTORY, CONFIG)
    assert run is not None
    assert run.seq == 0
    assert run.ts_close.tolist() == [ts(10), ts(30)]  # nothing ticked in the window that ends at 20
    assert run.instrument_ids.tolist() == [1, 2, 3]
    assert run.symbols == ("S1", "S2", "S3")
    assert run.sector.tolist() == [0, 1, -1]
    assert run.mask.tolist() == [[True, False, True], [False, True, True]]
    assert run.close.tolist() == [
        [500_000_000, UNDEF_PRICE, 10**9],
        [UNDEF_PRICE, 700_000_000, 1_100_000_000],
    ]
    assert run.feature_names == FEATURE_NAMES
    assert (state.ts_close, state.seq) == (ts(30), 2)
    assert state.last_close.tolist() == [500_000_000, 700_000_000, 1_100_000_000]
    assert np.isnan(state.returns[:2]).tolist() == [[True] * 3, [True, True, False]]
    assert state.returns[1, 2] == run.features[1, 2, FEATURE_NAMES.index("return_close")]


def test_the_state_that_came_in_is_left_alone() -> None:
    rows = rows_of(random_trades())
    split = np.searchsorted(rows["ts_close"], ts(150), side="right")
    _, state = build_graphs(rows[:split], GraphState.initial(CONFIG), DIRECTORY, CONFIG)
    before = state.to_bytes()
    first, _ = build_graphs(rows[split:], state, DIRECTORY, CONFIG)
    again, _ = build_graphs(rows[split:], state, DIRECTORY, CONFIG)
    assert state.to_bytes() == before
    assert first is not None
    assert again is not None
    assert first.neighbors.tobytes() == again.neighbors.tobytes()


def test_no_new_window_gives_no_run() -> None:
    rows = rows_of(random_trades())
    _, state = build_graphs(rows, GraphState.initial(CONFIG), DIRECTORY, CONFIG)
    assert build_graphs(rows, state, DIRECTORY, CONFIG) == (None, state)
    assert build_graphs(rows[:0], state, DIRECTORY, CONFIG) == (None, state)


def test_pieces_that_bound_memory_join_to_the_whole() -> None:
    rows = rows_of(random_trades())
    whole, after = build_graphs(rows, GraphState.initial(CONFIG), DIRECTORY, CONFIG)
    pieces = list(iter_graphs(rows, GraphState.initial(CONFIG), DIRECTORY, CONFIG, max_cells=5 * 7))
    assert whole is not None
    assert max(len(run.ts_close) for run, _ in pieces) == 7
    joined = join_graph_runs(run for run, _ in pieces)
    assert joined.features.tobytes() == whole.features.tobytes()
    assert pieces[-1][1].to_bytes() == after.to_bytes()


def test_windows_that_passed_empty_stay_so() -> None:
    rows = rows_of(trades((0, 1, 100, 1, b"B"), (15, 1, 100, 1, b"B"), (25, 1, 100, 1, b"B")))
    _, state = build_graphs(rows[:1], GraphState.initial(CONFIG), DIRECTORY, CONFIG)
    assert (state.ts_close, state.frontier_ns) == (ts(10), ts(10))
    state = GraphState.from_bytes(state.passed(ts(20)).to_bytes(), CONFIG)
    assert (state.ts_close, state.frontier_ns) == (ts(10), ts(20))
    run, state = build_graphs(rows, state.passed(ts(10)), DIRECTORY, CONFIG)
    assert run is not None
    assert (run.seq, run.ts_close.tolist()) == (1, [ts(30)])


def test_without_neighbors_the_arrays_have_no_width() -> None:
    config = replace(CONFIG, neighbors=0, lead_neighbors=0)
    rows = rows_of(random_trades())
    run, state = build_graphs(rows, GraphState.initial(config), DIRECTORY, config)
    assert run is not None
    assert run.neighbors.shape == (*run.mask.shape, 0)
    assert run.relations == ()
    assert GraphState.from_bytes(state.to_bytes(), config).seq == state.seq


def test_correlated_instruments_become_neighbors() -> None:
    moves = np.array([3, -2, 4, -5, 1, 2, -3, 5])
    up, down = 100 + np.cumsum(moves), 300 - np.cumsum(moves)
    ticks = [(10.0 * t, i, int(p), 1, b"B") for t in range(8) for i, p in ((1, up[t]), (2, down[t]))]
    config = GraphConfig(
        "u", SIZE, neighbors=1, correlation_windows=4, correlation_stride=1, lead_neighbors=0
    )
    run, _ = build_graphs(rows_of(trades(*ticks)), GraphState.initial(config), DIRECTORY, config)
    assert run is not None
    assert run.neighbors[:2].ravel().tolist() == [-1] * 4  # one return each: too few
    assert run.neighbors[3:, :, 0].tolist() == [[1, 0]] * 5
    assert (run.neighbor_weights[3:] < -0.95).all()


def test_an_instrument_nobody_announced_is_named() -> None:
    with pytest.raises(
        UnknownInstrumentError, match="instruments 99 tick but were never announced"
    ) as caught:
        build_graphs(rows_of(trades((0, 99, 1, 1, b"B"))), GraphState.initial(CONFIG), DIRECTORY, CONFIG)
    assert caught.value.instrument_ids == (99,)


@pytest.mark.parametrize(("column", "value"), [("close", 0), ("low", UNDEF_PRICE), ("notional", np.nan)])
def test_rows_that_no_window_can_have_are_refused(column: str, value: float) -> None:
    rows = rows_of(random_trades(n=3))
    rows[column][0] = value
    with pytest.raises(WindowRunError, match=f"`{column}`"):
        build_graphs(rows, GraphState.initial(CONFIG), DIRECTORY, CONFIG)


def test_a_state_keeps_its_neighbors_when_instruments_come_in_between() -> None:
    rows = rows_of(random_trades(instruments=3))
    _, state = build_graphs(rows, GraphState.initial(CONFIG), DIRECTORY, CONFIG)
    grown = state.grown(np.array([1, 2, 3, 7], np.uint32))
    assert grown.correlated[:3].tolist() == state.correlated.tolist()
    assert grown.leading[:3].tolist() == state.leading.tolist()
    assert (state.leading >= 0).any()
    assert np.isnan(grown.returns[:, 3]).all()
    moved = replace(state, instrument_ids=np.array([2, 5, 9], np.uint32)).grown(
        np.array([1, 2, 4, 5, 9], np.uint32)
    )
    place = {-1: -1, 0: 1, 1: 3, 2: 4}
    for before, after in ((state.correlated, moved.correlated), (state.leading, moved.leading)):
        assert after[[1, 3, 4]].tolist() == [[place[j] for j in row] for row in before.tolist()]
        assert after[[0, 2]].tolist() == [[-1] * before.shape[1]] * 2
    assert moved.last_close[[0, 2]].tolist() == [UNDEF_PRICE] * 2


def test_a_checkpoint_of_other_settings_is_refused() -> None:
    data = GraphState.initial(CONFIG).to_bytes()
    with pytest.raises(StateMismatchError, match="returns, neighbors, lead_neighbors") as caught:
        GraphState.from_bytes(data, replace(CONFIG, neighbors=5))
    assert caught.value.actual == (9, 2, 3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        GraphState.initial(CONFIG).to_bytes()[:-1] + b"{",
        encode_state("scoring", 1, {}, {}),
        encode_state("graphs", 1, {}, {}),
        encode_state("graphs", 2, {"ts_close": 0, "frontier_ns": 0, "seq": 0}, {}),
        encode_state(
            "graphs", 2, {"ts_close": 0, "frontier_ns": 0, "seq": 0},
            {name: np.zeros(1) for name in
             ("instrument_ids", "last_close", "returns", "correlated", "correlated_weights",
              "leading", "leading_weights")},
        ),
    ],
)  # fmt: skip
def test_bytes_that_are_no_checkpoint_are_refused(data: bytes) -> None:
    with pytest.raises(StateDecodeError, match="checkpoint"):
        GraphState.from_bytes(data, CONFIG)


def test_snapshots_for_models_are_views() -> None:
    run = graph_run()
    snapshots = snapshots_of(run)
    assert np.shares_memory(snapshots.features, run.features)
    assert snapshots.neighbors is run.neighbors
    assert snapshots.relations == run.relations == (("correlation", 2), ("lead", 3))


def test_the_directory_reads_announcements_of_its_universe() -> None:
    announced = [
        Instrument(instrument_id=1, symbol="OLD", universe="u", sector="Tech"),
        Instrument(instrument_id=1, symbol="A", universe="u", sector="Tech"),
        Instrument(
            instrument_id=2, symbol="B", universe="u", sector="Energy", related=(Related("supply", 1, -0.5),)
        ),
        Instrument(instrument_id=3, symbol="C", universe="u"),
        Instrument(instrument_id=4, symbol="D", universe="other", sector="Aero"),
    ]
    directory = InstrumentDirectory.from_instruments(announced, "u")
    assert directory.symbols == {1: "A", 2: "B", 3: "C"}
    assert directory.sectors == {1: 1, 2: 0}
    assert CONFIG.relations(directory) == (("correlation", 2), ("lead", 3), ("supply", 1))


def test_announced_edges_fill_the_slots_behind_in_every_window_where_both_ends_are() -> None:
    edges = {
        "supply": Edges.from_lists({2: [(3, 0.5), (1, -0.25)], 3: [(2, 0.5)]}),
        "owns": Edges.from_lists({9: [(1, 1.0)], 1: [(8, 0.75), (2, 0.5)]}),
    }
    directory = replace(DIRECTORY, edges=edges)
    run, _ = build_graphs(
        rows_of(
            trades((0, 1, 9, 1, b"B"), (1, 2, 9, 1, b"B"), (2, 3, 9, 1, b"B"), (11, 2, 9, 1, b"B"), (12, 1, 9, 1, b"B"))
        ),
        GraphState.initial(CONFIG), directory, CONFIG,
    )  # fmt: skip
    assert run is not None
    assert run.relations == (("correlation", 2), ("lead", 3), ("owns", 2), ("supply", 2))
    assert run.neighbors[0, :, 5:].tolist() == [[1, -1, -1, -1], [-1, -1, 2, 0], [-1, -1, 1, -1]]
    assert run.neighbor_weights[0, :, 5:].tolist() == [[0.5, 0, 0, 0], [0, 0, 0.5, -0.25], [0, 0, 0.5, 0]]
    assert run.neighbors[1, :, 5:].tolist() == [[1, -1, -1, -1], [-1, -1, 0, -1], [-1] * 4]
    assert decode_graphs(encode_graphs(run), Envelope("graphs", 2, ARROW)).relations == run.relations
