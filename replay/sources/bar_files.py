"""Intraday bars and daily panels of Parquet, Arrow and CSV files as `ohlcv` records.

A panel's prices are adjusted: each is multiplied by adjusted_close / close, and the volume divided by it, so
that the notional stays what it was. Day d becomes a bar that starts at d 00:00 UTC.

What a vendor does not tell of a day on which an instrument traded is taken from its close: a panel without a
column open, high or low, or with a zero in it, has bars that are flat there. A panel without volumes counts every
row as one unit traded. Rows of empty cells alone, as tables have that once were one column an instrument, and
rows without a volume, are days without a trade: they are left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.blank import blank
from replay.errors import InvalidRow, SchemaMismatch
from replay.sources.base import Block, Selection, StreamSource, Tally, by_position, flatnonzero
from replay.sources.columns import Columns
from replay.sources.rows import admit, in_order
from replay.sources.tables import Table
from topics.ticks import join_records, take_records, tick_schema
from topics.types import NANOS_PER_DAY, NANOS_PER_SECOND, BoolArray, Float64Array, RecordArray

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
        records = take_records(records, order)
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
    empty = _empty_rows(columns)
    kept = ~empty if selection.symbols is None else (positions != 0) & ~empty
    if not kept.all():
        skipped = int((empty & (positions != 0)).sum())
        if skipped:
            tally.rows += skipped
            tally.skipped["empty_row"] += skipped
        columns, positions = columns.take(flatnonzero(kept)), positions[kept]
    records = blank(tick_schema(schema_name), columns.batch.num_rows)
    records["instrument_id"] = positions
    records["ts_event"] = columns.times("ts_event") if "ts_event" in columns else columns.days("date")
    factor = _adjustment(columns) if "adjusted_close" in columns else None
    records["volume"] = _volumes(columns, factor, volume_unit, tally)
    for name in _OHLC:
        records[name] = columns.prices(name if name in columns else "close", factor=factor)
    if "ts_event" not in columns:
        _fill_from_close(records, tally)
    return admit(Block(records, columns.first_row, columns.kept), schema_name, columns.file, tally)


def _empty_rows(columns: Columns) -> BoolArray:
    """Return (n,) whether a row says nothing beside its day and symbol."""
    names = [name for name in (*_OHLC, "volume", "adjusted_close") if name in columns]
    if not any(columns.has_gaps(name) for name in names):
        return np.zeros(columns.batch.num_rows, np.bool_)
    empty: BoolArray = np.all([np.isnan(columns.numbers(name)) for name in names], axis=0)
    return empty


def _volumes(
    columns: Columns, factor: Float64Array | None, volume_unit: int, tally: Tally
) -> NDArray[np.uint64]:
    if "volume" not in columns:
        tally.corrected["volume_unknown"] += columns.batch.num_rows
        return np.ones(columns.batch.num_rows, np.uint64)
    volume = columns.sizes("volume", limit=_MAX_VOLUME, optional=True) * np.uint64(volume_unit)
    if factor is None:
        return volume
    # A day with a trade stays one, however few shares of today its volume is worth.
    return np.where(volume > 0, np.maximum(np.rint(volume / factor), 1.0), 0.0).astype(np.uint64)


def _fill_from_close(records: RecordArray, tally: Tally) -> None:
    """Give the bars of a traded day the close for an open, high or low of zero; those without a column have it."""
    traded = (records["volume"] > 0) & (records["close"] > 0)
    filled = np.zeros(len(records), np.bool_)
    for name in ("open", "high", "low"):
        unknown = traded & (records[name] == 0)
        records[name][unknown] = records["close"][unknown]
        filled |= unknown
    if filled.any():
        tally.corrected["price_filled_from_close"] += int(filled.sum())


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
