"""Waits until every tick partition has closed a window, so that a snapshot holds all instruments.

Windows that a restarted windows agent emits again end at or before their partition's frontier: the first
one has won, the repetition is dropped.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from cs3g_model.jit import kernel
from pipeline.errors import WindowRunError
from topics.runs import WINDOW_ROW_DTYPE, WindowRun
from topics.ticks import join_records, take_records
from topics.types import Int64Array, RecordArray

_ORDER, _BEYOND, _STRAY = 1, 2, 3


class WindowBarrier:
    """Joins the partitions' closed windows in order of ts_close; mutates self.

    Parameters
    ----------
    partitions
        Number of tick partitions (> 0).
    start_after_ns
        Windows with ts_close <= start_after_ns were dealt with before.
    universe, size_ns
        What the runs must say, where given.
    """

    def __init__(
        self,
        partitions: int,
        start_after_ns: int,
        *,
        universe: str | None = None,
        size_ns: int | None = None,
    ) -> None:
        if partitions <= 0:
            raise ValueError(f"`partitions` (={partitions}) must be > 0")
        self._universe = universe
        self._size_ns = size_ns
        self._frontier_ns = [start_after_ns] * partitions
        self._waiting: list[deque[RecordArray]] = [deque() for _ in range(partitions)]  # in order

    @property
    def complete_ns(self) -> int:
        """Every window with ts_close <= complete_ns is closed in all partitions."""
        return min(self._frontier_ns)

    def frontier_ns(self, partition: int) -> int:
        """Every window of the partition with ts_close <= frontier_ns is known."""
        return self._frontier_ns[partition]

    def add(self, run: WindowRun) -> int:
        """Take a partition's run; return how many of its rows are repetitions and were dropped.

        Raises
        ------
        WindowRunError
            The run is of another universe, window size or partition count, or not in order.
        """
        self._check(run)
        frontier = self._frontier_ns[run.partition]
        fresh = run.rows[np.searchsorted(run.rows["ts_close"], frontier, side="right") :]
        if len(fresh):
            self._waiting[run.partition].append(fresh)
        self._frontier_ns[run.partition] = max(frontier, run.frontier_ns)
        return len(run.rows) - len(fresh)

    def take(self) -> RecordArray:
        """Hand over the rows of the complete windows not taken yet, by (ts_close, instrument_id)."""
        complete = self.complete_ns
        taken, starts = [np.empty(0, WINDOW_ROW_DTYPE)], np.zeros(len(self._waiting) + 1, np.int64)
        for partition, waiting in enumerate(self._waiting):
            starts[partition + 1] = starts[partition]
            while waiting and waiting[0]["ts_close"][0] <= complete:
                rows = waiting.popleft()
                end = int(np.searchsorted(rows["ts_close"], complete, side="right"))
                taken.append(rows[:end])
                starts[partition + 1] += end
                if end < len(rows):
                    waiting.appendleft(rows[end:])
        if len(taken) == 1:
            return taken[0]
        rows = join_records(taken)
        return take_records(rows, _merged(rows, starts))

    def _check(self, run: WindowRun) -> None:
        for name, actual, expected in (
            ("universe", run.universe, self._universe),
            ("size_ns", run.size_ns, self._size_ns),
        ):
            if expected is not None and actual != expected:
                raise WindowRunError(f"`{name}` (={actual!r}) must be {expected!r}")
        partitions = len(self._frontier_ns)
        if not 0 <= run.partition < partitions:
            raise WindowRunError(
                f"`partition` (={run.partition}) must be in 0..{partitions - 1}:"
                " the topic has more tick partitions than configured"
            )
        fault, at = _first_fault(run.rows, run.frontier_ns, run.partition, partitions)
        if fault == _ORDER:
            raise WindowRunError("`rows` must ascend strictly by (ts_close, instrument_id)")
        if fault == _BEYOND:
            raise WindowRunError(
                f"a ts_close (={run.rows['ts_close'][at]}) must be <= `frontier_ns` (={run.frontier_ns})"
            )
        # Otherwise two partitions could hold rows of one instrument and window.
        if fault == _STRAY:
            instrument = run.rows["instrument_id"][at]
            raise WindowRunError(
                f"instrument {instrument} must be in partition {instrument % partitions} of {partitions},"
                f" was in {run.partition}"
            )


@kernel
def _first_fault(rows: RecordArray, frontier_ns: int, partition: int, partitions: int) -> tuple[int, int]:
    # What is wrong, and at which row.
    for i in range(len(rows)):
        row = rows[i]
        if i > 0:
            before = rows[i - 1]
            if row.ts_close < before.ts_close or (
                row.ts_close == before.ts_close and row.instrument_id <= before.instrument_id
            ):
                return _ORDER, i
        if row.ts_close > frontier_ns:
            return _BEYOND, i
        if row.instrument_id % partitions != partition:
            return _STRAY, i
    return 0, -1


@kernel
def _merged(rows: RecordArray, starts: Int64Array) -> Int64Array:
    # The places of rows in order: those of each partition, starts[p] to starts[p + 1], are.
    heads = starts[:-1].copy()
    order = np.empty(len(rows), np.int64)
    for i in range(len(rows)):
        first = -1
        for p in range(len(heads)):
            if heads[p] == starts[p + 1]:
                continue
            if first >= 0:
                row, best = rows[heads[p]], rows[heads[first]]
                if row.ts_close > best.ts_close or (
                    row.ts_close == best.ts_close and row.instrument_id >= best.instrument_id
                ):
                    continue
            first = p
        order[i] = heads[first]
        heads[first] += 1
    return order
