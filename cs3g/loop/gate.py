"""How far a replay may run ahead of the retraining loop, so that what is swapped in when depends on the data only.

A live market does not wait for a job; a replay does. A decision at window u is made once the window after it is
closed, M(u), and its job's model serves from after S(u) = M(u) + lag. So no window after S(u) may close before it is
known that u asks for no job, or before its job has ended: whatever the machine's speed, the swap is at the same
window. The first window after S(u) may be sent, since it stays open until a tick of a later one comes; M(u) itself
may need it to close.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from typing import Final

import numpy as np

from topics.types import BoolArray, Int64Array

_NEVER: Final = np.iinfo(np.int64).max
RECHECK_S: Final = 1.0


class LoopGate:
    """A `replay.gate.Gate` that follows decisions and jobs; mutates self.

    Parameters
    ----------
    size_ns
        Length of a window.
    lag_windows
        The trigger policy's: windows between the maturity of a decision and the swap that follows from it (>= 1).
    """

    def __init__(self, size_ns: int, lag_windows: int) -> None:
        self._size_ns = size_ns
        self._lag_ns = lag_windows * size_ns
        self._windows: list[int] = []
        self._decided_ns = -1
        self._pending: dict[str, int] = {}
        self._moved = asyncio.Event()

    @property
    def pending(self) -> frozenset[str]:
        """Jobs that were asked for and have not ended."""
        return frozenset(self._pending)

    def decided(self, ts_close: int) -> None:
        """Note that every window up to this one is decided, and that the jobs that follow are noted already."""
        if ts_close > self._decided_ns:
            self._decided_ns = ts_close
            # Of windows long decided only the last can matter again.
            del self._windows[: max(0, bisect_right(self._windows, ts_close) - 1)]
            self._moved.set()

    def requested(self, job_id: str, since_ts_close: int) -> None:
        """Note a job whose model is to serve from after a window."""
        self._pending[job_id] = since_ts_close

    def ended(self, job_id: str) -> None:
        """Note that a job has ended, however, and that what it activated is announced."""
        if self._pending.pop(job_id, None) is not None:
            self._moved.set()

    def released(self, ts_event: Int64Array, is_tick: BoolArray) -> int:
        """Return how many of the next records may be sent; heartbeats make no window, but wait as ticks do."""
        self._moved.clear()
        ends = (ts_event // self._size_ns + 1) * self._size_ns
        later = np.flatnonzero(ends > self._last_open_ns(ends[is_tick]))
        count = int(later[0]) if len(later) else len(ends)
        self._windows = _merged(self._windows, ends[:count][is_tick[:count]])
        return count

    def may_end(self) -> bool:
        """Return whether every window but those that only the end closes is decided, and no job is running."""
        self._moved.clear()
        decided = bisect_right(self._windows, self._decided_ns)
        return not self._pending and len(self._windows) - decided <= 2

    def is_decided(self, last_window_ns: int) -> bool:
        """Return whether every window before the last one, which has no label, is decided."""
        return not any(self._decided_ns < window < last_window_ns for window in self._windows)

    async def wait(self) -> None:
        """Return when something has moved since `released` was asked."""
        try:
            await asyncio.wait_for(self._moved.wait(), RECHECK_S)
        except TimeoutError:
            return  # a chance for the replay to be stopped

    def _last_open_ns(self, ends: Int64Array) -> int:
        """Return the end of the last window that may be sent: the first after the earliest possible swap."""
        windows = _merged(self._windows, ends)
        swap = min(self._pending.values(), default=_NEVER)
        undecided = bisect_right(windows, self._decided_ns)
        if undecided + 1 < len(windows):
            swap = min(swap, windows[undecided + 1] + self._lag_ns)
        place = bisect_right(windows, swap)
        return windows[place] if place < len(windows) else _NEVER


def _merged(windows: list[int], ends: Int64Array) -> list[int]:
    return sorted({*windows, *np.unique(ends).tolist()})
