"""Tumbling event-time windows of one tick partition: ticks in, closed windows and refused ticks out.

Window [ts_open, ts_close) of a tick is floor(ts_event / size), aligned to the epoch. The watermark before a
tick is the largest ts_event of the earlier ticks (heartbeats included) minus the allowed lateness; a tick is
late when its window ends at or before it. So every verdict belongs to the tick, not to the message, and
every tick comes back exactly once: counted in a window, late, or invalid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline import fold
from pipeline.errors import ConfigError
from pipeline.records import find_refusals, fold_values
from topics.runs import WINDOW_ROW_DTYPE, TickRun, WindowRun
from topics.ticks import TickSchema, tick_schema
from topics.types import RecordArray

MAX_SIZE_NS: Final = 2**53
"""Longest window, 104 days: the end of a window that holds the latest valid time still fits an int64."""

_CHUNK: Final = 4096
_FIRST_CAPACITY: Final = 2048
_NONE: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What became of a run of ticks.

    Attributes
    ----------
    closed
        The windows that the run closed, perhaps none; None where the frontier did not move either.
    late
        Ticks whose window had closed, in order of arrival, as the records that came in.
    late_positions
        (len(late),) their places in the run.
    invalid
        Ticks that no window may take, in order of arrival.
    invalid_positions
        (len(invalid),) their places in the run.
    invalid_causes
        Why, one name for each.
    last_close_touched_ns
        End of the latest window that a valid record of the run falls into, heartbeats and late ticks
        included: the message may be acknowledged when the acknowledged frontier has reached it. 0 for none.
    """

    closed: WindowRun | None
    late: RecordArray
    late_positions: NDArray[np.int64]
    invalid: RecordArray
    invalid_positions: NDArray[np.int64]
    invalid_causes: tuple[str, ...]
    last_close_touched_ns: int


class WindowAggregator:
    """Folds one partition's ticks into windows; mutates self.

    It holds nothing that the ticks of the open windows do not give again: after a restart a new one is
    fed from the first unacknowledged message.

    Parameters
    ----------
    universe
        Name that the windows carry.
    partition
        The tick partition.
    size_ns
        Length of a window (> 0).
    allowed_lateness_ns
        How far the watermark trails the largest ts_event (>= 0).
    partitions
        Number of tick partitions, to refuse ticks that belong to another one; None takes them all.

    Raises
    ------
    ConfigError
        A number is out of range.
    """

    def __init__(
        self,
        universe: str,
        partition: int,
        size_ns: int,
        allowed_lateness_ns: int,
        *,
        partitions: int | None = None,
    ) -> None:
        if not 0 < size_ns <= MAX_SIZE_NS:
            raise ConfigError(f"`size_ns` (={size_ns}) must be in 1..{MAX_SIZE_NS}", setting="window_size_ns")
        if not 0 <= allowed_lateness_ns <= MAX_SIZE_NS:
            raise ConfigError(
                f"`allowed_lateness_ns` (={allowed_lateness_ns}) must be in 0..{MAX_SIZE_NS}",
                setting="allowed_lateness_ns",
            )
        if not 0 <= partition < (partition + 1 if partitions is None else partitions):
            raise ConfigError(f"`partition` (={partition}) must be >= 0 and < {partitions} tick partitions")
        self.universe = universe
        self.partition = partition
        self.size_ns = size_ns
        self.allowed_lateness_ns = allowed_lateness_ns
        self._partitions = partitions
        self._frontier_ns = 0
        self._clock = np.zeros(fold.CLOCK_SIZE, np.int64)
        self._clock[fold.MAX_EVENT] = -1
        self._allocate(_FIRST_CAPACITY)

    @property
    def frontier_ns(self) -> int:
        """Every window with ts_close <= frontier_ns is closed."""
        return self._frontier_ns

    @property
    def watermark_ns(self) -> int:
        """Ticks of windows that end at or before it are late."""
        return int(max(self._clock[fold.MAX_EVENT] - self.allowed_lateness_ns, self._clock[fold.FLOOR]))

    @property
    def open_ticks(self) -> int:
        """Ticks folded into windows that are still open."""
        return int(self._accumulators["n_ticks"][self._slot_close > 0].sum())

    def fold(self, run: TickRun) -> FoldResult:
        """Fold a run of ticks, in the order of its records.

        Raises
        ------
        topics.errors.UnknownVersion
            The schema is none that ticks have.
        """
        records, schema = run.records, tick_schema(run.schema)
        refusals = find_refusals(
            run, size_ns=self.size_ns, partition=self.partition, partitions=self._partitions
        )
        verdict = refusals.verdict
        closed: list[RecordArray] = []
        frontier_before = self._frontier_ns
        self._clock[fold.RUN_MAX] = -1
        self._clock[fold.N_LATE] = 0
        # In chunks, so that one huge run needs no more open accumulators than many small ones.
        for start in range(0, len(records), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            self._fold_chunk(schema, records[chunk], verdict[chunk])
            closed.extend(self._close())
        late = np.nonzero(verdict == fold.LATE)[0] if self._clock[fold.N_LATE] else _NONE
        invalid = np.nonzero(verdict == fold.INVALID)[0] if refusals.any else _NONE
        latest = int(self._clock[fold.RUN_MAX])
        return FoldResult(
            closed=self._window_run(closed, frontier_before),
            late=records[late],
            late_positions=late,
            invalid=records[invalid],
            invalid_positions=invalid,
            invalid_causes=refusals.names(invalid),
            last_close_touched_ns=0 if latest < 0 else self._close_of(latest),
        )

    def advance(self, ts_ns: int) -> WindowRun | None:
        """Move the watermark to ts_ns at least, because the feed is idle; return what that closed.

        Event time is the ticks' own otherwise; this is for live feeds that fell silent.
        """
        self._clock[fold.FLOOR] = max(int(self._clock[fold.FLOOR]), ts_ns)
        frontier_before = self._frontier_ns
        return self._window_run(self._close(), frontier_before)

    def finish(self, ts_last_ns: int) -> WindowRun | None:
        """Close every window up to the one that holds ts_last_ns, the end of a replay."""
        return self.advance(self._close_of(ts_last_ns))

    def _close_of(self, ts_ns: int) -> int:
        return (ts_ns // self.size_ns + 1) * self.size_ns

    def _fold_chunk(self, schema: TickSchema, records: RecordArray, verdict: NDArray[np.uint8]) -> None:
        self._reserve(len(records))
        ts_event = np.ascontiguousarray(records["ts_event"]).view(np.int64)
        slots = np.empty(len(records), np.int32)
        fold.assign_slots(
            ts_event,
            np.ascontiguousarray(records["instrument_id"]),
            self.size_ns,
            self.allowed_lateness_ns,
            self._clock,
            self._slot_close,
            self._slot_instrument,
            self._free,
            self._table,
            self._accumulators,
            verdict,
            slots,
        )
        fold_values(schema, slots, ts_event, records, self._accumulators)

    def _close(self) -> list[RecordArray]:
        frontier = self.watermark_ns // self.size_ns * self.size_ns
        if frontier <= self._frontier_ns:
            return []
        self._frontier_ns = frontier
        n_closed = fold.release_closed(
            frontier,
            self._clock,
            self._slot_close,
            self._slot_instrument,
            self._free,
            self._table,
            self._closed,
        )
        if not n_closed:
            return []
        slots = self._closed[:n_closed]
        keys = self._accumulators[["ts_close", "instrument_id"]][slots]
        rows: RecordArray = np.empty(n_closed, WINDOW_ROW_DTYPE)
        order = np.lexsort((keys["instrument_id"], keys["ts_close"]))
        fold.copy_rows(self._accumulators, slots[order], rows)
        return [rows]

    def _window_run(self, closed: list[RecordArray], frontier_before: int) -> WindowRun | None:
        if self._frontier_ns == frontier_before:
            return None
        # Later chunks close later windows only, so the rows are in order already.
        rows = np.concatenate(closed) if closed else np.empty(0, WINDOW_ROW_DTYPE)
        return WindowRun(self.universe, self.partition, self.size_ns, self._frontier_ns, rows)

    def _allocate(self, capacity: int) -> None:
        self._accumulators: RecordArray = np.zeros(capacity, fold.ACCUMULATOR_DTYPE)
        self._slot_close = np.zeros(capacity, np.int64)
        self._slot_instrument = np.zeros(capacity, np.uint32)
        self._free = np.arange(capacity - 1, -1, -1, dtype=np.int32)
        self._closed = np.empty(capacity, np.int32)
        self._table = np.zeros(2 * capacity, np.int32)
        self._clock[fold.N_FREE] = capacity

    def _reserve(self, n_ticks: int) -> None:
        # A kernel cannot grow its arrays: every tick may open an accumulator.
        if self._clock[fold.N_FREE] >= n_ticks:
            return
        used = self._slot_close > 0
        accumulators, closes = self._accumulators[used], self._slot_close[used]
        instruments = self._slot_instrument[used]
        n_used = len(accumulators)
        capacity = 2 * len(self._slot_close)
        while capacity - n_used < n_ticks:
            capacity *= 2
        self._allocate(capacity)
        self._accumulators[:n_used] = accumulators
        self._slot_close[:n_used] = closes
        self._slot_instrument[:n_used] = instruments
        self._clock[fold.N_FREE] = capacity - n_used
        fold.rebuild_table(self._slot_close, self._slot_instrument, self._table)
