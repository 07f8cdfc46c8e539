"""The open accumulators of one tick partition, in arrays that kernels write and Python grows."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline import slots
from topics.runs import WINDOW_ROW_DTYPE
from topics.types import Int32Array, Int64Array, RecordArray, UInt32Array

_FIRST_CAPACITY: Final = 2048


class OpenWindows:
    """One accumulator for each (window, instrument) that ticked and is not closed; mutates self.

    Parameters
    ----------
    size_ns, lateness_ns
        As in `WindowAggregator`.
    """

    def __init__(self, size_ns: int, lateness_ns: int) -> None:
        self._size_ns = size_ns
        self._lateness_ns = lateness_ns
        self._clock = np.zeros(slots.CLOCK_SIZE, np.int64)
        self._clock[slots.MAX_EVENT] = -1
        self._allocate(_FIRST_CAPACITY)

    @property
    def watermark_ns(self) -> int:
        """Ticks of windows that end at or before it are late."""
        latest, floor = self._clock[slots.MAX_EVENT], self._clock[slots.FLOOR]
        return int(max(latest - self._lateness_ns, floor))

    @property
    def n_ticks(self) -> int:
        """Ticks folded into windows that are still open."""
        return int(self.accumulators["n_ticks"][self._slot_close > 0].sum())

    def raise_floor(self, ts_ns: int) -> None:
        """Move the watermark to ts_ns at least."""
        self._clock[slots.FLOOR] = max(int(self._clock[slots.FLOOR]), ts_ns)

    def assign(
        self, ts_event: Int64Array, instrument_id: UInt32Array, verdict: NDArray[np.uint8]
    ) -> tuple[Int32Array, int, int]:
        """Give every tick its verdict and accumulator, in order of arrival.

        Parameters
        ----------
        ts_event, instrument_id, verdict
            (n,) as in `slots.assign_slots`; `verdict` is completed in place.

        Returns
        -------
        (n,) places in `accumulators`, -1 for ticks that are not folded; the largest valid ts_event, -1 for
        none; the number of late ticks.
        """
        self._reserve(len(ts_event))
        places = np.empty(len(ts_event), np.int32)
        slots.assign_slots(
            ts_event,
            instrument_id,
            self._size_ns,
            self._lateness_ns,
            self._clock,
            self._slot_close,
            self._slot_instrument,
            self._free,
            self._table,
            self.accumulators,
            verdict,
            places,
        )
        return places, int(self._clock[slots.RUN_MAX]), int(self._clock[slots.N_LATE])

    def close(self, frontier_ns: int) -> RecordArray:
        """Hand over the rows of windows with ts_close <= frontier_ns, by (ts_close, instrument_id)."""
        n_closed = slots.release_closed(
            frontier_ns,
            self._clock,
            self._slot_close,
            self._slot_instrument,
            self._free,
            self._table,
            self._closed,
        )
        places = self._closed[:n_closed]
        if n_closed > 1:
            ts_close = self.accumulators["ts_close"][places]
            places = places[np.lexsort((self._slot_instrument[places], ts_close))]
        rows: RecordArray = np.empty(n_closed, WINDOW_ROW_DTYPE)
        slots.copy_rows(self.accumulators, places, rows)
        return rows

    def _allocate(self, capacity: int) -> None:
        self.accumulators: RecordArray = np.zeros(capacity, slots.ACCUMULATOR_DTYPE)
        self._slot_close = np.zeros(capacity, np.int64)
        self._slot_instrument = np.zeros(capacity, np.uint32)
        self._free = np.arange(capacity - 1, -1, -1, dtype=np.int32)
        self._closed = np.empty(capacity, np.int32)
        self._table = np.zeros(2 * capacity, np.int32)
        self._clock[slots.N_FREE] = capacity

    def _reserve(self, n_ticks: int) -> None:
        # A kernel cannot grow its arrays: every tick may open an accumulator.
        if self._clock[slots.N_FREE] >= n_ticks:
            return
        used = self._slot_close > 0
        accumulators, closes = self.accumulators[used], self._slot_close[used]
        instruments = self._slot_instrument[used]
        n_used = len(accumulators)
        capacity = 2 * len(self._slot_close)
        while capacity - n_used < n_ticks:
            capacity *= 2
        self._allocate(capacity)
        self.accumulators[:n_used] = accumulators
        self._slot_close[:n_used] = closes
        self._slot_instrument[:n_used] = instruments
        self._clock[slots.N_FREE] = capacity - n_used
        slots.rebuild_table(self._slot_close, self._slot_instrument, self._table)
