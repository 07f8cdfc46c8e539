"""A market as files that the readers take: a panel or bars, sectors, ticks, and the truth beside them.

Every writer fills the file that it is given; whoever calls chooses a temporary name and renames.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import databento_dbn
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from replay.generator.clock import date_of
from replay.generator.market import Market
from replay.generator.ticks import SCHEMA, tick_blocks
from topics.types import PRICE_SCALE

_BARS: Final = ("open", "high", "low", "close", "volume")


def write_panel(market: Market, path: Path) -> None:
    """Write the bars by window and symbol: with a `date` where windows are days, else `ts_event` in ns."""
    windows, count = market.bars.close.shape
    if market.config.window == "1d":
        days = [date_of(ts) for ts in market.ts_open.tolist()]
        when = pl.Series("date", days, pl.Date).gather(np.repeat(np.arange(windows), count))
    else:
        when = pl.Series("ts_event", np.repeat(market.ts_open, count))
    columns = [pl.Series(name, getattr(market.bars, name).ravel()) for name in _BARS]
    pl.DataFrame([when, _symbols(market, windows), *columns]).write_parquet(path)


def write_sectors(market: Market, path: Path) -> None:
    """Write (symbol, sector)."""
    sectors = [market.names.sectors[code] for code in market.names.sector.tolist()]
    pl.DataFrame({"symbol": market.names.symbols, "sector": sectors}).write_parquet(path)


def write_edges(market: Market, path: Path) -> None:
    """Write (window_start, window_stop, regime, source, destination, weight), windows counted from 0."""
    graph, symbols = market.graph, np.array(market.names.symbols)
    segments, followers, leaders = graph.weights.shape
    sources = graph.sources[graph.regimes]
    order = np.argsort(sources, axis=2)
    each = np.repeat(np.arange(segments), followers * leaders)
    pl.DataFrame(
        {
            "window_start": graph.starts[each],
            "window_stop": graph.starts[each + 1],
            "regime": graph.regimes[each],
            "source": symbols[np.take_along_axis(sources, order, 2).ravel()],
            "destination": symbols[np.tile(np.repeat(graph.followers, leaders), segments)],
            "weight": np.take_along_axis(graph.weights, order, 2).ravel(),
        }
    ).write_parquet(path)


def write_oracle(market: Market, path: Path) -> None:
    """Write (ts_close in ns, symbol, score), as `cs3g score` does."""
    windows, count = market.oracle.shape
    ts_close = pl.Series("ts_close", np.repeat(market.ts_close, count))
    score = pl.Series("score", market.oracle.ravel())
    pl.DataFrame([ts_close, _symbols(market, windows), score]).write_parquet(path)


def write_ticks(
    market: Market,
    path: Path,
    per_window: int,
    file_format: str = "dbn",
    on_rows: Callable[[int], object] = lambda rows: None,
) -> int:
    """Write the trades block by block as DBN or Parquet and return their number.

    Parameters
    ----------
    per_window
        Trades of each instrument in each window.
    file_format
        "dbn", or "parquet" with ts_event, symbol, price, size, side.
    on_rows
        Called after each block with its number of rows.

    Raises
    ------
    ConfigError
        `per_window` is out of range.
    """
    blocks = tick_blocks(market, per_window)
    total = 0
    if file_format == "dbn":
        with path.open("wb") as file:
            file.write(_dbn_metadata(market))
            for block in blocks:
                file.write(block.data)
                total += len(block)
                on_rows(len(block))
        return total
    symbols = pa.array(market.names.symbols)
    fields = [("ts_event", pa.int64()), ("symbol", pa.dictionary(pa.int32(), pa.string()))]
    fields += [("price", pa.float64()), ("size", pa.int64()), ("side", pa.string())]
    with pq.ParquetWriter(path, pa.schema(fields)) as writer:
        for block in blocks:
            indices = pa.array(block["instrument_id"].astype(np.int32) - 1)
            columns = [
                pa.array(block["ts_event"].astype(np.int64)),
                pa.DictionaryArray.from_arrays(indices, symbols),
                pa.array(block["price"] / PRICE_SCALE),
                pa.array(block["size"].astype(np.int64)),
                pa.array(block["side"].astype(str)),
            ]
            writer.write_table(pa.table(columns, schema=pa.schema(fields)))
            total += len(block)
            on_rows(len(block))
    return total


def _dbn_metadata(market: Market) -> bytes:
    first, last = date_of(int(market.ts_open[0])), date_of(int(market.ts_open[-1])) + dt.timedelta(days=1)
    mappings = [
        SimpleNamespace(
            raw_symbol=symbol,
            intervals=[SimpleNamespace(start_date=first, end_date=last, symbol=str(number))],
        )
        for number, symbol in enumerate(market.names.symbols, start=1)
    ]
    kinds: Any = databento_dbn.SType  # its stubs give the members the wrong type
    metadata = databento_dbn.Metadata(
        dataset="CS3G.GENERATED",
        start=int(market.ts_open[0]),
        end=int(market.ts_close[-1]),
        stype_in=kinds.RAW_SYMBOL,
        stype_out=kinds.INSTRUMENT_ID,
        schema=databento_dbn.Schema.from_str(SCHEMA),
        symbols=list(market.names.symbols),
        mappings=mappings,
        ts_out=False,
        version=3,
    )
    return bytes(metadata.encode())


def _symbols(market: Market, windows: int) -> pl.Series:
    return pl.Series("symbol", list(market.names.symbols) * windows)
