"""Small inputs for the replay's tests: records, sources, files, and a clock that a test holds."""

from __future__ import annotations

import asyncio
import datetime as dt
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import databento_dbn
import numpy as np

from replay.sources.base import Source, StreamSource, Tally
from topics.ticks import SCHEMAS, blank_records
from topics.types import NANOS_PER_SECOND, PRICE_SCALE, RecordArray

T0 = 1_381_152_600 * NANOS_PER_SECOND
"""2013-10-07 09:30 in New York."""


def trades(
    times: Sequence[int] | np.ndarray,
    *,
    ids: Sequence[int] | int = 1,
    prices: Sequence[float] | float = 100.0,
) -> RecordArray:
    """Trades at `T0` + times ns; `sequence` numbers them."""
    records = blank_records(SCHEMAS["trades"], len(times))
    records["ts_event"] = records["ts_recv"] = T0 + np.asarray(times, dtype=np.int64)
    records["instrument_id"] = ids
    records["price"] = np.rint(np.asarray(prices) * PRICE_SCALE).astype(np.int64)
    records["size"] = 1
    records["action"] = b"T"
    records["sequence"] = np.arange(len(times))
    return records


def cut(records: RecordArray, rows: int) -> Iterator[RecordArray]:
    for start in range(0, len(records), rows):
        yield records[start : start + rows].copy()


def memory_source(
    records: RecordArray, *, symbols: tuple[str, ...] = ("A",), rows: int = 1000, schema: str = "trades"
) -> StreamSource:
    def read(tally: Tally) -> Iterator[RecordArray]:
        tally.rows += len(records)
        yield from cut(records, rows)

    return StreamSource(f"memory of {','.join(symbols)}", schema, "ts_event", symbols, read)


def all_records(source: Source) -> RecordArray:
    return np.concatenate([*source.chunks(), np.empty(0, SCHEMAS[source.schema].dtype)])


def write_zip(path: Path, member: str, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, text)
    return path


def write_lean(folder: Path, symbol: str, date: str, side: str, lines: Iterable[str]) -> Path:
    """One tick file as LEAN names it, e.g. tick/aig/20131007_trade.zip."""
    member = f"{date}_{symbol}_{side.capitalize()}_Tick.csv"
    return write_zip(folder / "tick" / symbol / f"{date}_{side}.zip", member, "\n".join(lines))


def dbn_bytes(
    schema: str,
    records: RecordArray,
    mappings: Sequence[tuple[str, Sequence[tuple[str, str, int]]]] = (
        ("A", (("2013-10-07", "2013-10-08", 1),)),
    ),
    *,
    version: int = 3,
    ts_out: bool = False,
) -> bytes:
    """A DBN file; `mappings` are (symbol, ((start date, end date, id), ...))."""
    intervals = [
        SimpleNamespace(
            raw_symbol=symbol,
            intervals=[
                SimpleNamespace(
                    start_date=dt.date.fromisoformat(start),
                    end_date=dt.date.fromisoformat(end),
                    symbol=str(number),
                )
                for start, end, number in parts
            ],
        )
        for symbol, parts in mappings
    ]
    metadata = databento_dbn.Metadata(
        dataset="XNAS.ITCH",
        start=T0,
        end=T0 + 86_400 * NANOS_PER_SECOND,
        stype_in=databento_dbn.SType.RAW_SYMBOL,
        stype_out=databento_dbn.SType.INSTRUMENT_ID,
        schema=databento_dbn.Schema.from_str(schema),
        symbols=[symbol for symbol, _ in mappings],
        mappings=intervals,
        ts_out=ts_out,
        version=version,
    )
    if not ts_out:
        return bytes(metadata.encode()) + records.tobytes()
    wide = np.zeros(len(records), dtype=[("record", records.dtype), ("ts_out", "<u8")])
    wide["record"] = records
    wide["record"]["length"] += 2
    return bytes(metadata.encode()) + wide.tobytes()


class ManualClock:
    """Time passes only by sleeping, so a paced replay runs at once and exactly on schedule."""

    def __init__(self, overslept_ns: int = 0) -> None:
        self.ns = 5_000_000_000
        self.slept: list[float] = []
        self._overslept_ns = overslept_ns

    def now_ns(self) -> int:
        return self.ns

    async def sleep(self, seconds: float) -> None:
        if seconds:
            self.slept.append(seconds)
            self.ns += int(seconds * NANOS_PER_SECOND) + self._overslept_ns
        await asyncio.sleep(0)
