"""Waits until every tick partition has closed a window, so that a snapshot holds all instruments.

Windows that a restarted windows agent emits again end at or before their partition's frontier: the first
one has won, the repetition is dropped.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from pipeline.errors import WindowRunError
from topics.runs import WINDOW_ROW_DTYPE, WindowRun
from topics.ticks import join_records, take_records
from topics.types import RecordArray


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
        taken = [np.empty(0, WINDOW_ROW_DTYPE)]
        for waiting in self._waiting:
            while waiting and waiting[0]["ts_close"][0] <= complete:
                rows = waiting.popleft()
                end = np.searchsorted(rows["ts_close"], complete, side="right")
                taken.append(rows[:end])
                if end < len(rows):
                    waiting.appendleft(rows[end:])
        if len(taken) == 1:
            return taken[0]
        rows = join_records(taken)
        return take_records(rows, np.lexsort((rows["instrument_id"], rows["ts_close"])))

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
        rows = run.rows
        if not len(rows):
            return
        ts_close, instrument_id = rows["ts_close"], rows["instrument_id"]
        step = np.diff(ts_close)
        if ((step < 0) | ((step == 0) & (instrument_id[1:] <= instrument_id[:-1]))).any():
            raise WindowRunError("`rows` must ascend strictly by (ts_close, instrument_id)")
        if ts_close[-1] > run.frontier_ns:
            raise WindowRunError(
                f"the last ts_close (={ts_close[-1]}) must be <= `frontier_ns` (={run.frontier_ns})"
            )
        # Otherwise two partitions could hold rows of one instrument and window.
        stray = instrument_id % np.uint32(partitions) != run.partition
        if stray.any():
            raise WindowRunError(
                f"instrument {instrument_id[stray][0]} must be in partition"
                f" {instrument_id[stray][0] % partitions} of {partitions}, was in {run.partition}"
            )
