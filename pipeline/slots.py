"""Kernels that give every tick its verdict and its accumulator, and release those of closed windows.

The verdict belongs to the tick: it goes by the watermark of the ticks before it in the partition, wherever
the messages are cut.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model.jit import kernel
from topics.runs import WINDOW_ROW_DTYPE
from topics.types import Int32Array, Int64Array, RecordArray, UInt32Array

ACCUMULATOR_DTYPE: Final = np.dtype(
    [
        *[(name, WINDOW_ROW_DTYPE[name]) for name in WINDOW_ROW_DTYPE.names or ()],
        ("ts_open_price", "<i8"),  # event time of `open`
        ("ts_close_price", "<i8"),  # event time of `close`
        ("last_price", "<i8"),  # of the last arrival, for returns and the tick rule
        ("rank", "<i8"),
        ("direction", "<i8"),  # of the last price change between trades: 1 up, -1 down, 0 none yet
    ],
    align=True,
)

FOLDED: Final = 0
INVALID: Final = 1
LATE: Final = 2
HEARTBEAT: Final = 3
"""Verdicts on a tick."""

MAX_EVENT, FLOOR, N_FREE, RUN_MAX, N_LATE = 0, 1, 2, 3, 4
"""Places in the `clock` array: the largest ts_event so far, the least watermark, the number of free slots,
and of the run at hand the largest valid ts_event (-1 for none) and the number of late ticks."""
CLOCK_SIZE: Final = 5


@kernel
def assign_slots(
    ts_event: Int64Array,
    instrument_id: UInt32Array,
    size_ns: int,
    lateness_ns: int,
    clock: Int64Array,
    slot_close: Int64Array,
    slot_instrument: UInt32Array,
    free: Int32Array,
    table: Int32Array,
    accumulators: RecordArray,
    verdict: NDArray[np.uint8],
    slots: Int32Array,
) -> None:
    """Give every tick its verdict and accumulator; mutates `clock`, the slots and `verdict`.

    Parameters
    ----------
    ts_event, instrument_id
        (n,) contiguous.
    clock
        (5,), see `MAX_EVENT`.
    slot_close, slot_instrument
        (capacity,) keys of the accumulators; a close of 0 marks a free slot.
    free
        (capacity,) stack of free slots, `clock[N_FREE]` deep: at least n.
    table
        (2^k,) hash table of slot + 1, 0 where empty; larger than the capacity.
    verdict
        (n,) in: `INVALID` or `FOLDED`; out: the verdict.
    slots
        (n,) out: the accumulator, -1 where the tick is not folded.
    """
    clock[RUN_MAX] = -1
    clock[N_LATE] = 0
    close = 0
    for i in range(len(ts_event)):
        slots[i] = -1
        if verdict[i] == INVALID:
            continue
        ts = int(ts_event[i])
        watermark = max(clock[MAX_EVENT] - lateness_ns, clock[FLOOR])
        clock[MAX_EVENT] = max(clock[MAX_EVENT], ts)
        clock[RUN_MAX] = max(clock[RUN_MAX], ts)
        if instrument_id[i] == 0:
            verdict[i] = HEARTBEAT
            continue
        if not close - size_ns <= ts < close:  # ticks cluster: most fall in the window of the one before
            close = (ts // size_ns + 1) * size_ns
        if close <= watermark:
            verdict[i] = LATE
            clock[N_LATE] += 1
            continue
        place = find_place(table, slot_close, slot_instrument, close, instrument_id[i])
        if table[place] == 0:
            clock[N_FREE] -= 1
            slot = int(free[clock[N_FREE]])
            table[place] = slot + 1
            slot_close[slot] = close
            slot_instrument[slot] = instrument_id[i]
            _start(accumulators, slot, close, instrument_id[i])
        slot = int(table[place]) - 1
        slots[i] = slot
        accumulators[slot].n_ticks += 1
        accumulators[slot].ts_last = max(accumulators[slot].ts_last, ts)


@kernel
def find_place(
    table: Int32Array, slot_close: Int64Array, slot_instrument: UInt32Array, close: int, instrument: int
) -> int:
    """Return the place in the table that holds the key, or the empty one where it belongs."""
    mask = np.uint64(len(table) - 1)
    mixed = np.uint64(close) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(instrument) * np.uint64(
        0xC2B2AE3D27D4EB4F
    )
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    place = (mixed >> np.uint64(32)) & mask
    while True:
        slot = table[place] - 1
        if slot < 0 or (slot_close[slot] == close and slot_instrument[slot] == instrument):
            return int(place)
        place = (place + np.uint64(1)) & mask


@kernel
def release_closed(
    frontier_ns: int,
    clock: Int64Array,
    slot_close: Int64Array,
    slot_instrument: UInt32Array,
    free: Int32Array,
    table: Int32Array,
    closed: Int32Array,
) -> int:
    """Free the slots of windows with ts_close <= frontier_ns; return how many were written to `closed`.

    Their accumulators stay readable until the next `assign_slots`.
    """
    n_closed = 0
    for slot in range(len(slot_close)):
        if 0 < slot_close[slot] <= frontier_ns:
            closed[n_closed] = slot
            n_closed += 1
    if n_closed:
        for i in range(n_closed):
            slot_close[closed[i]] = 0
            free[clock[N_FREE]] = closed[i]
            clock[N_FREE] += 1
        rebuild_table(slot_close, slot_instrument, table)
    return n_closed


@kernel
def copy_rows(accumulators: RecordArray, slots: Int32Array, rows: RecordArray) -> None:
    """Write the accumulators of some slots as window rows."""
    for i in range(len(slots)):
        a, row = accumulators[slots[i]], rows[i]
        row.ts_close = a.ts_close
        row.instrument_id = a.instrument_id
        row.n_ticks = a.n_ticks
        row.n_trades = a.n_trades
        row.n_quotes = a.n_quotes
        row.open = a.open
        row.high = a.high
        row.low = a.low
        row.close = a.close
        row.volume = a.volume
        row.buy_volume = a.buy_volume
        row.sell_volume = a.sell_volume
        row.notional = a.notional
        row.sum_sq_return = a.sum_sq_return
        row.spread_sum = a.spread_sum
        row.quote_imbalance_sum = a.quote_imbalance_sum
        row.ts_last = a.ts_last


@kernel
def rebuild_table(slot_close: Int64Array, slot_instrument: UInt32Array, table: Int32Array) -> None:
    """Hash every used slot anew."""
    table[:] = 0
    for slot in range(len(slot_close)):
        if slot_close[slot] > 0:
            place = find_place(table, slot_close, slot_instrument, slot_close[slot], slot_instrument[slot])
            table[place] = slot + 1


@kernel
def _start(accumulators: RecordArray, slot: int, close: int, instrument: int) -> None:
    a = accumulators[slot]
    a.ts_close = close
    a.instrument_id = instrument
    a.n_ticks = 0
    a.n_trades = 0
    a.n_quotes = 0
    a.volume = 0
    a.buy_volume = 0
    a.sell_volume = 0
    a.notional = 0.0
    a.sum_sq_return = 0.0
    a.spread_sum = 0.0
    a.quote_imbalance_sum = 0.0
    a.ts_last = 0
    a.last_price = 0
    a.rank = 0
    a.direction = 0
