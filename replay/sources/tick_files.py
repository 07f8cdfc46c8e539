"""Trades and quotes of Parquet, Arrow and CSV files, one row a tick, read in batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from replay.blank import blank
from replay.sources.base import Block, Selection, StreamSource, Tally, by_position, flatnonzero
from replay.sources.columns import Columns
from replay.sources.rows import admit, in_order
from replay.sources.tables import Table
from topics.ticks import tick_schema
from topics.types import UNDEF_PRICE, Int64Array, RecordArray

_MAX_SIZE: Final = 2**32 - 1


def tick_source(table: Table, selection: Selection) -> StreamSource:
    """Return a file's trades as `trades`, or its quotes and trades as `mbp-1`.

    In a file of quotes a row is a trade where `action` is T, or, without that column, where it has a price.

    Raises
    ------
    InvalidRow
        While reading: a value that breaks its column's rule.
    """
    schema_name = "trades" if table.kind == "trades" else "mbp-1"
    symbols = table.symbols(selection)
    known = by_position(symbols)

    def read(tally: Tally) -> Iterator[RecordArray]:
        return in_order(blocks(tally), selection.clock, table.path, selection.chunk_rows)

    def blocks(tally: Tally) -> Iterator[Block]:
        row = 1
        for batch in table.batches(selection.chunk_rows):
            columns = Columns(table.path, batch, row)
            row += batch.num_rows
            positions = columns.positions(known)
            if selection.symbols is not None:
                kept = flatnonzero(positions != 0)
                columns, positions = columns.take(kept), positions[kept]
            records = _quotes(columns) if schema_name == "mbp-1" else _trades(columns)
            records["instrument_id"] = positions
            yield admit(Block(records, columns.first_row, columns.kept), schema_name, table.path, tally)

    return StreamSource(str(table.path), schema_name, selection.clock, symbols, read)


def _trades(columns: Columns) -> RecordArray:
    records = _timed(columns, "trades")
    records["price"] = columns.prices("price")
    records["size"] = columns.sizes("size", limit=_MAX_SIZE)
    records["action"] = b"T"
    if "side" in columns:
        records["side"] = columns.sides("side")
    return records


def _quotes(columns: Columns) -> RecordArray:
    records = _timed(columns, "mbp-1")
    records["bid_px_00"] = columns.prices("bid_price", optional=True)
    records["ask_px_00"] = columns.prices("ask_price", optional=True)
    for side in ("bid", "ask"):
        if f"{side}_size" in columns:
            records[f"{side}_sz_00"] = columns.sizes(f"{side}_size", limit=_MAX_SIZE, optional=True)
    _zero_is_no_quote(records)
    records["action"] = b"M"
    if "price" in columns:
        records["price"] = columns.prices("price", optional=True)
        is_trade = records["price"] != UNDEF_PRICE
        if "action" in columns:
            texts, indices = columns.texts("action")
            is_trade = np.array([text == "T" for text in [*texts, ""]])[indices]
        records["action"][is_trade] = b"T"
    if "size" in columns:
        records["size"] = columns.sizes("size", limit=_MAX_SIZE, optional=True)
    if "side" in columns:
        records["side"] = columns.sides("side")
    return records


def _zero_is_no_quote(records: RecordArray) -> None:
    # Many vendors write a missing side as 0.
    for name in ("bid_px_00", "ask_px_00"):
        price: Int64Array = records[name]
        price[price == 0] = UNDEF_PRICE


def _timed(columns: Columns, schema_name: str) -> RecordArray:
    records = blank(tick_schema(schema_name), columns.batch.num_rows)
    records["ts_event"] = columns.times("ts_event")
    records["ts_recv"] = columns.times("ts_recv") if "ts_recv" in columns else records["ts_event"]
    return records
