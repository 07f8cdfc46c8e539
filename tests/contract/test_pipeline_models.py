"""The real models in the scorer: runs cut anywhere, of a universe that grows, score as the whole."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.graph_state import GraphState
from pipeline.graphs import build_graphs
from pipeline.offline import windows_from_ticks
from pipeline.scoring import ScoringState, score_run
from tests.unit.cs3g_model.factories import make_runtime
from tests.unit.pipeline.snapshots import CONFIG, DIRECTORY, random_trades
from tests.unit.pipeline.ticks import SIZE


@pytest.mark.parametrize("role", ["student", "teacher"])
@pytest.mark.parametrize("seed", range(2))
def test_a_growing_universe_scores_the_same_however_it_is_cut(role: str, seed: int) -> None:
    run = random_trades(n=150, instruments=19, seconds=400, seed=seed)
    rows = np.concatenate(
        [w.rows for w in windows_from_ticks([(0, run)], universe="u", size_ns=SIZE, partitions=1)]
    )
    model = make_runtime(role)
    results, sizes = [], []
    for cuts in ([], [3, 30, 31, 90], [1, 2, 3, 4, 5]):
        graph_state, state = GraphState.initial(CONFIG), ScoringState.initial(model)
        scores: dict[tuple[int, int], tuple[bytes, int]] = {}
        edges = np.searchsorted(rows["ts_close"], rows["ts_close"][cuts]) if cuts else []
        for piece in np.split(rows, edges):
            graphs, graph_state = build_graphs(piece, graph_state, DIRECTORY, CONFIG)
            if graphs is None:
                continue
            sizes.append(len(graphs.instrument_ids))
            predictions, state = score_run(model, graphs, state)
            assert predictions is not None
            for t, n in np.argwhere(predictions.mask):
                key = int(predictions.ts_close[t]), int(predictions.instrument_ids[n])
                scores[key] = predictions.scores[t, n].tobytes(), int(predictions.ranks[t, n])
        results.append(scores)
    assert len(set(sizes)) > 2
    assert results[0] == results[1] == results[2]
