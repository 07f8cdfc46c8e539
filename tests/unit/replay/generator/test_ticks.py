from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.offline import windows_from_ticks
from replay.errors import ConfigError
from replay.generator.config import MarketConfig
from replay.generator.files import write_ticks
from replay.generator.market import Market, generate_market
from replay.generator.ticks import tick_blocks
from replay.sources.open import open_source
from tests.unit.replay.factories import all_records
from topics.runs import TickRun
from topics.types import PRICE_SCALE


@pytest.fixture(scope="module", params=["1d", "1m"])
def market(request: pytest.FixtureRequest) -> Market:
    return generate_market(MarketConfig(instruments=7, windows=60, window=request.param, half_spread=0.3))


@pytest.mark.parametrize("per_window", [4, 5, 23])
def test_windows_of_the_ticks_are_the_bars(market: Market, per_window: int) -> None:
    runs = [(0, TickRun("trades", block)) for block in tick_blocks(market, per_window)]
    size_ns = int(market.ts_close[0] - market.ts_open[0])
    windows = windows_from_ticks(runs, universe="u", size_ns=size_ns, partitions=1)
    rows = np.concatenate([run.rows for run in windows])
    assert len(rows) == 7 * 60
    order = np.lexsort((rows["instrument_id"], rows["ts_close"]))
    rows = rows[order].reshape(60, 7)
    assert (rows["ts_close"] == market.ts_close[:, None]).all()
    assert (rows["n_trades"] == per_window).all()
    for name in ("open", "high", "low", "close"):
        expected = np.rint(getattr(market.bars, name) * PRICE_SCALE)
        assert (rows[name] == expected).all(), name
    assert (rows["volume"] == market.bars.volume).all()


def test_ticks_are_in_order_and_bounce_between_bid_and_ask(market: Market) -> None:
    ticks = np.concatenate(list(tick_blocks(market, 40)))
    assert (np.diff(ticks["ts_event"].astype(np.int64)) >= 0).all()
    assert (ticks["size"] > 0).all()
    own = ticks[ticks["instrument_id"] == 3]
    assert (np.diff(own["ts_event"].astype(np.int64)) > 0).all()
    change = np.diff(np.log(own["price"].astype(float)))
    up = (own["side"][1:] == b"B") & (own["side"][:-1] == b"A")
    down = (own["side"][1:] == b"A") & (own["side"][:-1] == b"B")
    assert np.median(change[up]) > 0 > np.median(change[down])
    last = ticks[np.arange(len(ticks))[ticks["instrument_id"] == 3][39::40]]
    assert ((last["side"] == b"B") == market.latent.closes_at_ask[:, 2]).all()


def test_how_the_stream_is_cut_changes_nothing(market: Market) -> None:
    whole = list(tick_blocks(market, 6))
    cut = list(tick_blocks(market, 6, block_rows=100))
    assert len(whole) == 1
    assert len(cut) == 30
    assert np.concatenate(cut).tobytes() == whole[0].tobytes()


@pytest.mark.parametrize("file_format", ["dbn", "parquet"])
def test_written_ticks_are_read_back(market: Market, tmp_path: Path, file_format: str) -> None:
    path = tmp_path / f"ticks.{file_format}"
    seen: list[int] = []
    assert write_ticks(market, path, 5, file_format, seen.append) == 7 * 60 * 5 == sum(seen)
    (source,) = open_source(path)
    assert source.symbols == market.names.symbols
    assert source.schema == "trades"
    found, made = all_records(source), np.concatenate(list(tick_blocks(market, 5)))
    for name in ("ts_event", "instrument_id", "price", "size", "side", "action"):
        assert (found[name] == made[name]).all(), name


@pytest.mark.parametrize("per_window", [3, 1001])
def test_a_number_of_ticks_that_makes_no_bar_is_refused(market: Market, per_window: int) -> None:
    with pytest.raises(ConfigError, match=rf"ticks a window \(={per_window}\)"):
        next(tick_blocks(market, per_window))
