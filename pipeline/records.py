"""How a run of ticks meets the kernels: which rows no window may take, and the columns that are folded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline import fold
from topics.runs import TickRun
from topics.ticks import MBP1_DTYPE, TRADES_DTYPE, TickSchema, is_heartbeat
from topics.types import NANOS_PER_DAY, NANOS_PER_SECOND, Int32Array, Int64Array, RecordArray
from topics.validity import CAUSES, MAX_TS_EVENT, invalid_causes

BAR_NS: Final = {
    "ohlcv-1s": NANOS_PER_SECOND,
    "ohlcv-1m": 60 * NANOS_PER_SECOND,
    "ohlcv-1h": 3600 * NANOS_PER_SECOND,
    "ohlcv-1d": NANOS_PER_DAY,
}
"""Length of the bars of a schema in ns."""

REFUSAL_CAUSES: Final = (*CAUSES, "bar_outlasts_window", "other_partition")
"""Why a tick is refused: the contract's own causes, then those of the windows."""

_UNDEFINED_TIME: Final = REFUSAL_CAUSES.index("undefined_time")
_BAR_OUTLASTS: Final = REFUSAL_CAUSES.index("bar_outlasts_window")
_OTHER_PARTITION: Final = REFUSAL_CAUSES.index("other_partition")


@dataclass(frozen=True, slots=True)
class Refusals:
    """Each row's cause as an index into `REFUSAL_CAUSES`, and the verdicts with which the fold starts."""

    causes: NDArray[np.uint8]
    verdict: NDArray[np.uint8]
    any: bool

    def names(self, rows: NDArray[np.int64]) -> tuple[str, ...]:
        """Return the names of some rows' causes."""
        return tuple(REFUSAL_CAUSES[code] for code in self.causes[rows])


def find_refusals(run: TickRun, *, size_ns: int, partition: int, partitions: int | None) -> Refusals:
    """Find the rows that no window may take.

    A bar is refused where it outlasts its window: it would be known before it is over. A row whose
    instrument belongs to another partition is, because two partitions' rows of one instrument collide later.
    """
    records = run.records
    causes = invalid_causes(run)
    if size_ns % BAR_NS.get(run.schema, 1):
        causes[~is_heartbeat(records) & (causes == 0)] = _BAR_OUTLASTS
    if partitions is not None:
        stray = records["instrument_id"] % np.uint32(partitions) != partition
        if stray.any():
            causes[stray & ~is_heartbeat(records) & (causes == 0)] = _OTHER_PARTITION
    # Nearer to the end of int64 than one window: the window's own end would not fit.
    causes[records["ts_event"] > MAX_TS_EVENT - size_ns] = _UNDEFINED_TIME
    refused = causes != 0
    return Refusals(causes, refused.view(np.uint8), bool(refused.any()))


def fold_values(
    schema: TickSchema,
    slots: Int32Array,
    ts_event: Int64Array,
    records: RecordArray,
    accumulators: RecordArray,
) -> None:
    """Fold the values of records into the accumulators that `fold.assign_slots` gave them."""
    if schema.is_bar:
        fold.fold_bars(
            slots,
            ts_event,
            _column(records, "open"),
            _column(records, "high"),
            _column(records, "low"),
            _column(records, "close"),
            _signed(records, "volume"),
            accumulators,
        )
        return
    price, size, side = _column(records, "price"), _signed(records, "size"), _letters(records, "side")
    if schema.dtype == TRADES_DTYPE:
        fold.fold_trades(slots, ts_event, price, size, side, accumulators)
        return
    # A sampled book (bbo) repeats the last trade: only its quotes are news.
    has_trades = schema.dtype == MBP1_DTYPE
    action = _letters(records, "action") if has_trades else np.zeros(len(records), np.uint8)
    fold.fold_quotes(
        slots,
        ts_event,
        price,
        size,
        side,
        action,
        _column(records, "bid_px_00"),
        _column(records, "ask_px_00"),
        _signed(records, "bid_sz_00"),
        _signed(records, "ask_sz_00"),
        schema.name == "tbbo",
        accumulators,
    )


def _column(records: RecordArray, name: str) -> Int64Array:
    # Contiguous, so that the kernels are compiled for one layout.
    return np.ascontiguousarray(records[name])


def _signed(records: RecordArray, name: str) -> Int64Array:
    return records[name].astype(np.int64)


def _letters(records: RecordArray, name: str) -> NDArray[np.uint8]:
    return np.ascontiguousarray(records[name]).view(np.uint8)
