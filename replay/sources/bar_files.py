"""Intraday bars and daily panels of Parquet, Arrow and CSV files as `ohlcv` records.

A panel's prices are adjusted: each is multiplied by adjusted_close / close, and the volume divided by it, so
that the notional stays what it was. Day d becomes a bar that starts at d 00:00 UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from replay.errors import InvalidRow, SchemaMismatch
from replay.opaque import blank, take
from replay.sources.base import Block, Selection, StreamSource, Tally, by_position, flatnonzero
from replay.sources.columns import Columns
from replay.sources.rows import admit, in_order
from replay.sources.tables import Table
from topics.ticks import join_records, tick_schema
from topics.types import NANOS_PER_DAY, NANOS_PER_SECOND, Float64Array, RecordArray

_OHLC: Final = ("open", "high", "low", "close")
_MAX_VOLUME: Final = 2**53  # the largest range of whole numbers that float64 columns keep exact
_INTERVALS: Final = (
    ("1d", NANOS_PER_DAY),
    ("1h", 3600 * NANOS_PER_SECOND),
    ("1m", 60 * NANOS_PER_SECOND),
    ("1s", NANOS_PER_SECOND),
)


def bar_source(table: Table, selection: Selection) -> StreamSource:
    """Return a file's bars; `ts_event` is the start of each.

    The bar's length is read from a column `type` (such as bar_1m), else from the first batch's times.

    Raises
    ------
    SchemaMismatch
        The length cannot be told.
    """
    symbols = table.symbols(selection)
    known = by_position(symbols)
    schema_name = f"ohlcv-{_interval(table, selection)}"

    def read(tally: Tally) -> Iterator[RecordArray]:
        return in_order(blocks(tally), "ts_event", table.path, selection.chunk_rows)

    def blocks(tally: Tally) -> Iterator[Block]:
        row = 1
        for batch in table.batches(selection.chunk_rows):
            columns = Columns(table.path, batch, row)
            row += batch.num_rows
            yield _block(columns, schema_name, known, selection, tally)

    return StreamSource(str(table.path), schema_name, "ts_event", symbols, read)


def panel_source(
    table: Table,
    selection: Selection,
    *,
    name: str | None = None,
    volume_unit: int = 1,
    sectors: dict[str, str] | None = None,
) -> StreamSource:
    """Return a daily panel as `ohlcv-1d`; it is sorted in memory, 56 bytes a row.

    Parameters
    ----------
    name
        What messages call it; the path by default.
    volume_unit
        What the volume column counts in.
    """
    symbols = table.symbols(selection)
    known = by_position(symbols)

    def read(tally: Tally) -> Iterator[RecordArray]:
        blocks = []
        row = 1
        for batch in table.batches(selection.chunk_rows):
            columns = Columns(table.path, batch, row)
            row += batch.num_rows
            blocks.append(_block(columns, "ohlcv-1d", known, selection, tally, volume_unit))
        if not blocks:
            return
        records = join_records([block.records for block in blocks])
        rows = np.concatenate([block.first_row + _offsets(block) for block in blocks])
        order = np.lexsort((records["instrument_id"], records["ts_event"]))
        records = take(records, order)
        twice = (np.diff(records["ts_event"]) == 0) & (np.diff(records["instrument_id"]) == 0)
        if twice.any():
            first = int(twice.argmax()) + 1
            symbol = symbols[int(records["instrument_id"][first]) - 1]
            raise InvalidRow(table.path, int(rows[order][first]), "symbol", symbol, "has this date already")
        for start in range(0, len(records), selection.chunk_rows):
            yield records[start : start + selection.chunk_rows]

    return StreamSource(name or str(table.path), "ohlcv-1d", "ts_event", symbols, read, sectors or {})


def _block(
    columns: Columns,
    schema_name: str,
    known: dict[str, int],
    selection: Selection,
    tally: Tally,
    volume_unit: int = 1,
) -> Block:
    positions = columns.positions(known)
    if selection.symbols is not None:
        kept = flatnonzero(positions != 0)
        columns, positions = columns.take(kept), positions[kept]
    records = blank(tick_schema(schema_name), columns.batch.num_rows)
    records["instrument_id"] = positions
    records["ts_event"] = columns.times("ts_event") if "ts_event" in columns else columns.days("date")
    volume = columns.sizes("volume", limit=_MAX_VOLUME) * np.uint64(volume_unit)
    factor = _adjustment(columns) if "adjusted_close" in columns else None
    for name in _OHLC:
        records[name] = columns.prices(name, factor=factor)
    records["volume"] = volume if factor is None else np.rint(volume / factor).astype(np.uint64)
    return admit(Block(records, columns.first_row, columns.kept), schema_name, columns.file, tally)


def _adjustment(columns: Columns) -> Float64Array:
    close, adjusted = columns.numbers("close"), columns.numbers("adjusted_close")
    columns.refuse("adjusted_close", ~(adjusted > 0), adjusted, "must be a price above zero")
    # A close of zero is left to the row rules; NaN stays NaN and is refused with its own column's name.
    return np.where(close > 0, adjusted / np.where(close > 0, close, 1.0), 1.0)


def _offsets(block: Block) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(len(block.records), dtype=np.int64) if block.kept is None else block.kept


def _interval(table: Table, selection: Selection) -> str:
    names = [name for name in ("ts_event", "type") if name in table.columns]
    batch = next(table.batches(selection.chunk_rows, names), None)
    lengths = ", ".join(interval for interval, _ in _INTERVALS)
    if batch is None or not batch.num_rows:
        return _INTERVALS[-1][0]
    columns = Columns(table.path, batch, 1)
    if "type" in columns:
        texts, _ = columns.texts("type")
        found = {text.lower().removeprefix("bar_").removeprefix("ohlcv-") for text in texts}
        if len(found) == 1 and found <= {interval for interval, _ in _INTERVALS}:
            return found.pop()
        raise SchemaMismatch(
            f"{table.path}: column `type` holds {', '.join(texts)}; bars are one of {lengths}"
        )
    ts_event = columns.times("ts_event")
    for interval, length_ns in _INTERVALS:
        if not (ts_event % length_ns).any():
            return interval
    raise SchemaMismatch(f"{table.path}: `ts_event` of bars must be whole seconds; bars are one of {lengths}")
