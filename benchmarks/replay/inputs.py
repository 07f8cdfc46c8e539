"""The files that are replayed: the same trades as Parquet and DBN, LEAN zips, and one file of 12 M ticks."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import databento_dbn
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.ticks import REAL_TRADES, START_NS
from replay.sources.base import Selection
from replay.sources.open import open_sources
from topics.tick_builders import trades
from topics.types import NANOS_PER_SECOND, PRICE_SCALE, RecordArray

TICKS: Final = 1_684_116
LARGE_TICKS: Final = 12_000_000
PACED_PER_S: Final = 50_000
_REAL_LEAN: Final = "native/lean/equity/usa/tick"
_BLOCK: Final = 1 << 18
_SYMBOLS: Final = 500


def parquet_of_trades(data: Path | None, work: Path) -> tuple[Path, str]:
    """Return the real trades' Parquet file, or as many generated ones, and what it is."""
    real = None if data is None else data / REAL_TRADES
    if real is not None and real.exists():
        return real, "real trades"
    return write_parquet(work / "trades.parquet", TICKS, per_s=30), "generated trades"


def dbn_of(parquet: Path, work: Path) -> Path:
    """Write the trades of a Parquet file as an uncompressed DBN file."""
    path = work / "trades.dbn"
    (source,) = open_sources([parquet], Selection())
    chunks = list(source.chunks())
    first, last = int(chunks[0]["ts_event"][0]), int(chunks[-1]["ts_event"][-1])
    with path.open("wb") as file:
        file.write(_metadata(source.symbols, first, last))
        for records in chunks:
            file.write(records.tobytes())
    return path


def large_dbn(work: Path, ticks: int) -> Path:
    """Write a DBN file of so many generated trades."""
    path = work / f"large-{ticks}.dbn"
    symbols = tuple(f"S{number:04d}" for number in range(1, _SYMBOLS + 1))
    with path.open("wb") as file:
        file.write(_metadata(symbols, START_NS, START_NS + 86_400 * NANOS_PER_SECOND))
        for start in range(0, ticks, _BLOCK):
            file.write(_block(start, min(_BLOCK, ticks - start), 10_000).tobytes())
    return path


def write_parquet(path: Path, ticks: int, *, per_s: int) -> Path:
    """Write generated trades as a Parquet file of the columns that vendors write."""
    symbols = pa.array([f"S{number:04d}" for number in range(1, _SYMBOLS + 1)])
    writer: pq.ParquetWriter | None = None
    for start in range(0, ticks, _BLOCK):
        records = _block(start, min(_BLOCK, ticks - start), per_s)
        index = pa.array((records["instrument_id"] - 1).astype(np.int32))
        table = pa.table(
            {
                "ts_event": pa.array(records["ts_event"].astype(np.int64)),
                "symbol": pa.DictionaryArray.from_arrays(index, symbols),
                "price": pa.array(records["price"] / PRICE_SCALE),
                "size": pa.array(records["size"].astype(np.int64)),
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return path


def lean_folder(data: Path | None) -> Path | None:
    """Return the real LEAN zips, None where there are none."""
    folder = None if data is None else data / _REAL_LEAN
    return folder if folder is not None and folder.is_dir() else None


def _block(start: int, n: int, per_s: int) -> RecordArray:
    generator = np.random.default_rng(start)
    return trades(
        instrument_id=generator.integers(1, _SYMBOLS + 1, n),
        ts_event=START_NS + (start + np.arange(n)) * (NANOS_PER_SECOND // per_s),
        price=np.rint(100 + generator.standard_normal(n)).astype(np.int64) * PRICE_SCALE,
        size=generator.integers(1, 500, n),
    ).records


def _metadata(symbols: tuple[str, ...], start: int, end: int) -> bytes:
    first, last = _date(start), _date(end) + dt.timedelta(days=1)
    mappings = [
        SimpleNamespace(
            raw_symbol=symbol,
            intervals=[SimpleNamespace(start_date=first, end_date=last, symbol=str(number))],
        )
        for number, symbol in enumerate(symbols, start=1)
    ]
    metadata = databento_dbn.Metadata(
        dataset="XNAS.ITCH",
        start=start,
        end=end + 1,
        stype_in=databento_dbn.SType.from_str("raw_symbol"),
        stype_out=databento_dbn.SType.from_str("instrument_id"),
        schema=databento_dbn.Schema.from_str("trades"),
        symbols=list(symbols),
        mappings=mappings,
        ts_out=False,
        version=3,
    )
    return bytes(metadata.encode())


def _date(ts_ns: int) -> dt.date:
    return dt.datetime.fromtimestamp(ts_ns // NANOS_PER_SECOND, dt.UTC).date()
