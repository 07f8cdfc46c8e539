"""Files as what models read: the same edges as live, labels that cross no gap."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cs3g.fitting import History
from cs3g.panel_data import PanelFile, labeled_until, next_returns
from pipeline.graph_config import GraphConfig, InstrumentDirectory
from pipeline.graphs import snapshots_of
from pipeline.offline import join_graph_runs, snapshots_from_ticks
from replay.config import ReplayConfig
from replay.runner import run_replay
from replay.sinks import MemorySink
from replay.sources.open import open_sources
from replay.sources.relations import read_relations
from topics.control import Instrument, control_envelope, decode_control, encode_control
from topics.envelope import Envelope
from topics.ticks import decode_ticks
from topics.types import NANOS_PER_DAY

SYMBOLS = ("A", "B", "C", "D")


@pytest.fixture
def daily(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(60) if n % 7 < 5]
    rows = []
    for symbol in SYMBOLS:
        for day, close in zip(days, 100 * np.exp(np.cumsum(0.02 * rng.normal(size=len(days)))), strict=True):
            rows.append((day, symbol, close, close * 1.01, close * 0.99, close, 1000))
    frame = pl.DataFrame(
        rows, schema=["date", "symbol", "open", "high", "low", "close", "volume"], orient="row"
    )
    path = tmp_path / "panel.parquet"
    frame.write_parquet(path)
    (tmp_path / "relations.csv").write_text(
        "symbol_a,symbol_b,relation,weight\nA,C,supply,0.5\nB,A,supply,-0.75\nC,D,owns,1\nX,A,supply,1\n"
    )
    return path


def test_edges_of_a_file_fill_the_slots_behind_those_made_from_returns(daily: Path) -> None:
    run = PanelFile(str(daily), daily.parent / "relations.csv").graph_run()
    assert run.relations == (("correlation", 8), ("lead", 8), ("owns", 1), ("supply", 2))
    assert run.neighbors[-1, :, 16:].tolist() == [[-1, 1, 2], [-1, 0, -1], [3, 0, -1], [2, -1, -1]]
    assert run.neighbor_weights[-1, 0, 16:].tolist() == [0, -0.75, 0.5]
    assert (run.neighbors[40:, :, 8] >= 0).all()  # 32 pairs, and everyone had a turn
    assert (run.neighbors[:30, :, 8] == -1).all()
    data = labeled_until(run, date(2024, 2, 16), date(2024, 2, 23))
    assert data.snapshots.relations == snapshots_of(run).relations == run.relations


def test_what_a_replay_announces_gives_the_same_snapshots(daily: Path) -> None:
    relations = daily.parent / "relations.csv"
    panel = PanelFile(str(daily), relations)
    sink = MemorySink()
    config = ReplayConfig(run_id="x", universe="u", partitions=2)
    sources = open_sources([daily], config.selection)
    asyncio.run(run_replay(config, sources, sink, relations=read_relations(relations)))
    announced = [
        decode_control(encode_control(one), control_envelope(one, run_id="x", mode="replay"))
        for one in sink.instruments
    ]
    directory = InstrumentDirectory.from_instruments(
        (one for one in announced if isinstance(one, Instrument)), "u"
    )
    ticks = [
        (partition, decode_ticks(message.value, Envelope.from_headers(message.headers)))
        for partition, messages in sink.messages.items()
        for message in messages[:-1]  # the last one is the end of the replay
    ]
    graph = GraphConfig("u", NANOS_PER_DAY)
    live = join_graph_runs(snapshots_from_ticks(ticks, directory, graph, partitions=2))
    offline = panel.graph_run()
    assert live.relations == offline.relations
    for name in ("features", "neighbors", "neighbor_weights", "sector", "mask"):
        assert getattr(live, name).tobytes() == getattr(offline, name).tobytes(), name


def minute_bars(path: Path, minutes: list[int], closes: list[float]) -> None:
    start = datetime(2024, 1, 2, 14, 30)
    frame = pl.DataFrame(
        {
            "ts_event": [start + timedelta(minutes=m) for m in minutes],
            "symbol": ["A"] * len(minutes),
            "type": ["bar_1m"] * len(minutes),
            **{name: np.array(closes, np.float32) for name in ("open", "high", "low", "close")},
            "volume": [10] * len(minutes),
        }
    )
    frame.with_columns(pl.col("ts_event").dt.replace_time_zone("UTC").dt.epoch("ns")).write_parquet(path)


def test_a_label_within_the_day_crosses_no_gap(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    minute_bars(path, [0, 1, 2, 5, 6, 24 * 60, 24 * 60 + 1], [100, 101, 103, 104, 108, 120, 126])
    run = PanelFile(str(path)).graph_run()
    assert run.size_ns == 60_000_000_000
    labels = next_returns(run)[:, 0]
    expected = [1 / 100, 2 / 101, np.nan, 4 / 104, np.nan, 6 / 120, np.nan]
    np.testing.assert_allclose(labels, expected, rtol=1e-5)


def test_a_daily_label_is_of_the_next_trading_day(daily: Path) -> None:
    run = PanelFile(str(daily)).graph_run()
    assert (np.diff(run.ts_close) > NANOS_PER_DAY).any()
    assert np.isfinite(next_returns(run)[:-1]).all()
    assert np.isnan(next_returns(run)[-1]).all()


def test_a_shorter_history_lets_an_instrument_count_sooner_and_again_soon_after_a_gap(daily: Path) -> None:
    frame = pl.read_parquet(daily)
    gap = sorted(frame["date"].unique())[25]
    frame.filter((pl.col("symbol") != "B") | (pl.col("date") != gap)).write_parquet(daily)
    run = PanelFile(str(daily)).graph_run()
    ends = date(2024, 2, 16), date(2024, 2, 23)
    long, short = (np.isfinite(labeled_until(run, *ends, history).labels) for history in (16, 1))
    assert np.flatnonzero(long[:, 0])[0] == 16
    assert np.flatnonzero(short[:, 0])[0] == 1
    assert not long[24:, 1].any()  # the label before the gap lies in it
    assert np.flatnonzero(~short[20:30, 1]).tolist() == [4, 5, 6]
    scores = np.nan_to_num(next_returns(run))[:40]
    scores[:, 1] *= -1
    judged = [History.split(run, *ends, None, history).judged(scores) for history in (16, 1)]
    assert judged[0]["valid_rank_ic"]["mean"] == pytest.approx(1.0)  # without B
    assert judged[1]["valid_rank_ic"]["mean"] < 0.9
