"""Row rules that all readers share: which rows are refused, left out with a count, or put in order.

A negative, undefined or oversized number in a file is damage and stops the replay at its row; a zero price, a
quote without sides or a bar without volume is the venue's way of saying nothing, and is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.errors import InvalidRow, UnsortedRows
from replay.sources.base import Block, Clock, Tally, flatnonzero
from topics.runs import TickRun
from topics.ticks import join_records, take_records, tick_schema
from topics.types import PRICE_SCALE, UNDEF_PRICE, RecordArray
from topics.validity import CAUSES, MAX_PRICE, MAX_TS_EVENT, invalid_causes

_PRICES: Final = ("price", "bid_px_00", "ask_px_00", "open", "high", "low", "close")
_SILENT: Final = ("undefined_price", "price_not_positive", "no_quote")
_MIN_TS_NS: Final = 10**17
"""1973; anything earlier is a time in another unit."""


def admit(block: Block, schema_name: str, file: Path | str, tally: Tally) -> Block:
    """Return the rows of a block that a window may take; count them all.

    Raises
    ------
    InvalidRow
        A price below zero or too large, a time that is not ns since the UNIX epoch, a volume too large.
    """
    records = block.records
    tally.rows += len(records)
    _check_time(block, file)
    is_bar = tick_schema(schema_name).is_bar
    if is_bar:
        _widen_bars(records, tally)
    causes = invalid_causes(TickRun(schema_name, records))
    silent = records["volume"] == 0 if is_bar else None
    if not causes.any() and (silent is None or not silent.any()):
        return block
    _refuse_damage(block, causes, file)
    keep = causes == 0
    for name in _SILENT:
        count = int((causes == CAUSES.index(name)).sum())
        if count:
            tally.skipped["zero_price" if name == "price_not_positive" else name] += count
    if silent is not None:
        tally.skipped["no_volume"] += int((silent & keep).sum())
        keep &= ~silent
    return block.take(flatnonzero(keep))


def in_order(
    blocks: Iterator[Block], clock: Clock, file: Path | str, sortable_rows: int
) -> Iterator[RecordArray]:
    """Yield the records of blocks that must be sorted by `clock`; a small file is sorted in memory.

    Parameters
    ----------
    sortable_rows
        Most rows that a file may have to be sorted; a single block always is.

    Raises
    ------
    UnsortedRows
        Time goes backwards in a larger file.
    """
    head: list[Block] = []
    for block in blocks:
        head.append(block)
        if len(head) > 1 and sum(len(one.records) for one in head) > sortable_rows:
            break
    else:
        if head:
            records = join_records([block.records for block in head])
            yield (
                take_records(records, np.argsort(records[clock], kind="stable"))
                if _goes_back(records[clock])
                else records
            )
        return
    last = 0
    for block in chain(head, blocks):
        ticks = block.records[clock]
        if not len(ticks):
            continue
        starts_early = int(ticks[0]) < last
        if starts_early or _goes_back(ticks):
            position = 0 if starts_early else int((ticks[1:] < ticks[:-1]).argmax()) + 1
            raise UnsortedRows(file, block.row_of(position), clock, _sort_advice(block.records, clock))
        last = int(ticks[-1])
        yield block.records


def _goes_back(ticks: NDArray[np.uint64]) -> bool:
    return bool((ticks[1:] < ticks[:-1]).any())


def _sort_advice(records: RecordArray, clock: Clock) -> str:
    has_recv = "ts_recv" in (records.dtype.names or ())
    if clock == "ts_event" and has_recv and (records["ts_recv"] != records["ts_event"]).any():
        return "sort the file by it, or replay in the recorder's order with --clock ts_recv"
    return f"sort the file by `{clock}` first"


def _check_time(block: Block, file: Path | str) -> None:
    ts_event = block.records["ts_event"]
    wrong = (ts_event < _MIN_TS_NS) | (ts_event > MAX_TS_EVENT)
    if wrong.any():
        position = int(wrong.argmax())
        raise InvalidRow(
            file,
            block.row_of(position),
            "ts_event",
            int(ts_event[position]),
            "must be ns since the UNIX epoch",
        )


def _widen_bars(records: RecordArray, tally: Tally) -> None:
    # Auction prints may lie outside a vendor's high and low; a bar must hold its own open and close.
    valid = records["low"] > 0
    high = np.maximum(records["high"], np.maximum(records["open"], records["close"]))
    low = np.minimum(records["low"], np.minimum(records["open"], records["close"]))
    changed = valid & ((high != records["high"]) | (low != records["low"])) & (low > 0)
    if changed.any():
        records["high"][changed] = high[changed]
        records["low"][changed] = low[changed]
        tally.corrected["range_widened"] += int(changed.sum())


def _refuse_damage(block: Block, causes: NDArray[np.uint8], file: Path | str) -> None:
    suspects = np.flatnonzero(causes)
    records = block.records[suspects]
    limit = f"must be at most {MAX_PRICE / PRICE_SCALE:.0f}"
    for name in records.dtype.names or ():
        if name in _PRICES:
            price = records[name]
            checks = [
                (price < 0, "must not be negative"),
                ((price > MAX_PRICE) & (price < UNDEF_PRICE), limit),
            ]
        elif name == "volume":
            checks = [(records[name] > MAX_TS_EVENT, f"must be at most {MAX_TS_EVENT}")]
        else:
            continue
        for wrong, rule in checks:
            if wrong.any():
                first = int(wrong.argmax())
                value = int(records[name][first])
                shown = value if name == "volume" else value / PRICE_SCALE
                raise InvalidRow(file, block.row_of(int(suspects[first])), name, shown, rule)
