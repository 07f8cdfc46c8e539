"""One LEAN day of one symbol: trades as `trades`, or trades and quotes as `mbp-1`.

LEAN's quote rows change one side, 0 meaning the other one stays: the last bid and ask are carried on, anew
each day. At equal times trades come first, so that a trade carries the quote that stood before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.blank import blank
from replay.merge import merge_chunks
from replay.schemas import promote
from replay.sources.base import Block, Tally, flatnonzero
from replay.sources.columns import Columns
from replay.sources.lean_files import LeanFile
from replay.sources.rows import admit, in_order
from topics.ticks import SCHEMAS
from topics.types import UNDEF_PRICE, Int64Array, RecordArray

_TRADE_COLUMNS: Final = ("time", "price", "size", "exchange", "condition", "suspicious")
_QUOTE_COLUMNS: Final = (
    "time",
    "bid_price",
    "bid_size",
    "ask_price",
    "ask_size",
    "exchange",
    "condition",
    "suspicious",
)
_NOT_READ: Final = ("exchange", "condition")
_NANOS_PER_DECI_CENT: Final = 100_000
_MAX_SIZE: Final = 2**32 - 1


def trade_day(file: LeanFile, position: int, tally: Tally, chunk_rows: int) -> Iterator[RecordArray]:
    """Yield a day's trades in `trades`; suspicious ones are left out and counted."""

    def blocks() -> Iterator[Block]:
        for columns in _plausible(file, _TRADE_COLUMNS, tally, chunk_rows):
            records = _timed(file, columns, "trades", position)
            records["price"] = _nanos(columns, "price")
            records["size"] = columns.sizes("size", limit=_MAX_SIZE)
            records["action"] = b"T"
            yield admit(Block(records, columns.first_row, columns.kept), "trades", file.label, tally)

    return in_order(blocks(), "ts_event", file.label, chunk_rows)


def quote_day(file: LeanFile, position: int, tally: Tally, chunk_rows: int) -> Iterator[RecordArray]:
    """Yield a day's quote changes in `mbp-1`, the unchanged side undefined."""

    def blocks() -> Iterator[Block]:
        for columns in _plausible(file, _QUOTE_COLUMNS, tally, chunk_rows):
            records = _timed(file, columns, "mbp-1", position)
            records["action"] = b"M"
            for side, code in (("bid", b"B"), ("ask", b"A")):
                price = _nanos(columns, f"{side}_price")
                size = columns.sizes(f"{side}_size", limit=_MAX_SIZE)
                changed = price != 0
                records[f"{side}_px_00"] = np.where(changed, price, UNDEF_PRICE)
                records[f"{side}_sz_00"] = np.where(changed, size, 0)
                records["price"] = np.where(changed, price, records["price"])
                records["size"] = np.where(changed, size, records["size"])
                records["side"][changed] = code
            yield admit(Block(records, columns.first_row, columns.kept), "mbp-1", file.label, tally)

    return in_order(blocks(), "ts_event", file.label, chunk_rows)


def tick_day(
    trades: LeanFile | None, quotes: LeanFile | None, position: int, tally: Tally, chunk_rows: int
) -> Iterator[RecordArray]:
    """Yield a day's trades and quotes as `mbp-1`, every record with the bid and ask known by then."""
    streams: list[Iterator[RecordArray]] = []
    if trades is not None:
        streams.append(
            promote(records, "mbp-1") for records in trade_day(trades, position, tally, chunk_rows)
        )
    if quotes is not None:
        streams.append(quote_day(quotes, position, tally, chunk_rows))
    book = _Book()
    for records in merge_chunks(streams, "ts_event"):
        yield book.carry(records)


@dataclass(slots=True)
class _Side:
    price: int = UNDEF_PRICE
    size: int = 0


class _Book:
    """The last bid and ask of one symbol. Mutated by `carry`."""

    def __init__(self) -> None:
        self._sides = {"bid": _Side(), "ask": _Side()}

    def carry(self, records: RecordArray) -> RecordArray:
        """Fill undefined sides of `mbp-1` records with the last known ones, in place; return the records."""
        for name, side in self._sides.items():
            prices: Int64Array = np.ascontiguousarray(records[f"{name}_px_00"])
            sizes: NDArray[np.uint32] = np.ascontiguousarray(records[f"{name}_sz_00"])
            # One slot ahead stands for what was known before this chunk.
            prices, sizes = np.insert(prices, 0, side.price), np.insert(sizes, 0, side.size)
            known = np.where(prices != UNDEF_PRICE, np.arange(len(prices)), 0)
            source = np.maximum.accumulate(known)
            prices, sizes = prices[source], sizes[source]
            records[f"{name}_px_00"], records[f"{name}_sz_00"] = prices[1:], sizes[1:]
            side.price, side.size = int(prices[-1]), int(sizes[-1])
        return records


def _plausible(file: LeanFile, names: tuple[str, ...], tally: Tally, chunk_rows: int) -> Iterator[Columns]:
    include = [name for name in names if name not in _NOT_READ]
    for columns in file.batches(names, include, chunk_rows):
        suspicious = columns.numbers("suspicious") != 0
        count = int(suspicious.sum())
        if not count:
            yield columns
            continue
        tally.rows += count
        tally.skipped["suspicious"] += count
        yield columns.take(flatnonzero(~suspicious))


def _timed(file: LeanFile, columns: Columns, schema_name: str, position: int) -> RecordArray:
    records = blank(SCHEMAS[schema_name], columns.batch.num_rows)
    records["instrument_id"] = position
    records["ts_event"] = file.times(columns)
    records["ts_recv"] = records["ts_event"]
    rows = np.arange(len(records)) if columns.kept is None else columns.kept
    records["sequence"] = rows + columns.first_row
    return records


def _nanos(columns: Columns, name: str) -> Int64Array:
    deci_cents = columns.numbers(name)
    # A comparison with NaN is false, so NaN is refused here too.
    columns.refuse(name, ~(deci_cents >= 0), deci_cents, "must be a price in deci-cents, 0 or above")
    return np.rint(deci_cents * _NANOS_PER_DECI_CENT).astype(np.int64)
