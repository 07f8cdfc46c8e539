"""Folding a replay in this process makes the snapshots of the stages one by one, late and refused ticks included."""

from __future__ import annotations

from cs3g.ab.fold_sink import FoldSink
from pipeline.config import load_config
from pipeline.graph_archive import graph_run_digest
from pipeline.offline import join_graph_runs
from replay.runner import run_replay
from tests.e2e.sessions import SETTINGS, market, replay_config, run_offline


async def test_snapshots_and_counts_are_those_of_the_stages() -> None:
    expected = await run_offline()
    for batch_ticks in (97, 4096):
        sink = FoldSink(load_config(**SETTINGS))
        report = await run_replay(replay_config("fold", batch_ticks=batch_ticks), [market()], sink)
        found = join_graph_runs(sink.runs)
        assert graph_run_digest(found) == graph_run_digest(expected.graphs)
        assert sink.n_window_ticks == expected.counts.n_window_ticks
        assert sink.n_refused == sum(expected.refused.values()) > 0
        assert sink.n_window_ticks + sink.n_refused == report.ticks
