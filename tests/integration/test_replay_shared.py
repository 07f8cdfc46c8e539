"""The real market data beside the repository: counts, digests, and readers against each other."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import databento_dbn
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from replay.config import ReplayConfig
from replay.errors import CorruptFile, SchemaMismatch
from replay.runner import run_replay
from replay.sinks import NullSink
from replay.sources.base import Selection
from replay.sources.open import open_source, open_sources
from replay.sources.relations import read_relations
from tests.shared_data import SHARED
from tests.unit.replay.factories import all_records
from topics.ticks import SCHEMAS
from topics.types import UNDEF_PRICE

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not there"),
]

TRADES = SHARED / "ticks" / "us_equity_trades_20131007_09.parquet"
LEAN = SHARED / "native" / "lean" / "equity" / "usa" / "tick"
BY_SYMBOL = {"AIG": 120_701, "BAC": 336_876, "IBM": 84_716, "SPY": 1_141_823}


async def test_the_parquet_trades_are_leans_trades() -> None:
    config = ReplayConfig(run_id="x")
    report = await run_replay(config, open_source(TRADES), NullSink())
    assert report.ticks_by_symbol == BY_SYMBOL
    (parquet,) = open_source(TRADES)
    for symbol, count in BY_SYMBOL.items():
        (one,) = open_source(TRADES, Selection(frozenset({symbol})))
        (lean,) = open_source(LEAN / symbol.lower())
        expected, found = all_records(one), all_records(lean)
        found = found[found["action"] == b"T"]
        assert len(expected) == len(found) == count
        for name in ("ts_event", "price", "size"):
            assert (expected[name] == found[name]).all()
    assert parquet.symbols == tuple(BY_SYMBOL)


async def test_leans_quotes_and_trades_are_accounted_for_to_the_tick() -> None:
    config = ReplayConfig(run_id="x")
    report = await run_replay(config, open_sources([LEAN], config.selection), NullSink())
    assert report.schema == "mbp-1"
    assert report.rows == 1_684_116 + 5_690_227
    assert report.skipped == {"suspicious": 2}
    assert report.ticks == report.rows - 2


def test_leans_carried_quotes_are_crossed_and_locked_as_seldom_as_the_data_says() -> None:
    quotes, crossed, locked = 0, 0, 0
    for symbol in ("aig", "bac", "ibm"):
        (source,) = open_source(LEAN / symbol)
        for records in source.chunks():
            bid, ask = records["bid_px_00"], records["ask_px_00"]
            both = (records["action"] == b"M") & (bid != UNDEF_PRICE) & (ask != UNDEF_PRICE)
            quotes += int(both.sum())
            crossed += int((both & (bid > ask)).sum())
            locked += int((both & (bid == ask)).sum())
    assert 5_690_000 < quotes <= 5_690_225
    # INDEX.md of the data: 0.02 % crossed, 3 % locked.
    assert (round(crossed / quotes, 4), round(locked / quotes, 2)) == (0.0002, 0.03)


def test_every_dbn_file_is_read_or_refused_by_its_schema() -> None:
    read, refused = 0, 0
    for path in sorted((SHARED / "native" / "dbn").iterdir()):
        schema = _schema_in_metadata(path)
        if schema in SCHEMAS:
            (source,) = open_source(path)
            records = all_records(source)
            assert source.schema == schema
            assert source.tally.rows == len(records) + source.tally.skipped.total()
            read += 1
        else:
            kind, line = (
                (CorruptFile, path.name) if schema == "" else (SchemaMismatch, "; replayed are trades, mbp-1")
            )
            with pytest.raises(kind, match=line):
                open_source(path)
            refused += 1
    assert (read, refused) == (52, 57)


def _schema_in_metadata(path: Path) -> str | None:
    """Return the schema by Databento's own decoder, "" for fragments without metadata."""
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
    if not data.startswith(b"DBN"):
        return ""
    schema = databento_dbn.Metadata.decode(data[: 8 + int.from_bytes(data[4:8], "little")]).schema
    return None if schema is None else str(schema)


def test_the_minute_bars_keep_prices_and_volumes() -> None:
    path = SHARED / "ticks" / "bars1m_us_etf_20191216_20200110.parquet"
    frame = pl.read_parquet(path)
    (source,) = open_source(path)
    records = all_records(source)
    assert (source.schema, len(source.symbols), len(records)) == ("ohlcv-1m", 247, 906_982)
    assert (records["volume"] == frame["volume"].to_numpy()).all()
    assert np.abs(records["close"] / 1e9 - frame["close"].to_numpy()).max() < 1e-6


def test_the_daily_panel_is_adjusted() -> None:
    path = SHARED / "daily" / "us_sp500_2013_2021.parquet"
    frame = pl.read_parquet(path).filter(pl.col("volume") > 0).sort("date", "symbol")
    (source,) = open_source(path)
    records = all_records(source)
    assert (len(source.symbols), len(records)) == (504, 1_022_029)
    assert source.tally.skipped == {"no_volume": 3}
    assert np.abs(records["close"] / 1e9 / frame["adjusted_close"].to_numpy() - 1).max() < 1e-6
    # Volumes are whole, so a notional is kept to half an adjusted share.
    close = records["close"] / 1e9
    raw = frame["close"].cast(pl.Float64).to_numpy() * frame["volume"].to_numpy()
    assert (np.abs(close * records["volume"] - raw) <= 0.5 * close + 1e-6 * raw).all()
    assert source.tally.corrected == {}


def test_sectors_and_pairs_agree() -> None:
    told, paired = (
        read_relations(SHARED / "daily" / f"us_sp500_{name}.parquet") for name in ("sector", "relations")
    )
    assert told.pairs == paired.pairs == {}
    sectors, groups = dict(told.sectors or {}), dict(paired.sectors or {})
    assert len(set(sectors.values())) == 11
    # A pair of one sector is of one group, and the other way round.
    assert (
        len({(sectors[symbol], group) for symbol, group in groups.items()}) == len(set(groups.values())) == 11
    )


async def test_memory_does_not_grow_with_the_file() -> None:
    peaks = []
    for limit in (200_000, 1_600_000):
        tracemalloc.start()
        await run_replay(ReplayConfig(run_id="x", limit=limit), open_source(TRADES), NullSink())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
