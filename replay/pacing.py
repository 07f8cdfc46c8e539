"""When each tick is due: an absolute schedule, so that waiting never accumulates drift.

The tick of time ts is due at t0 + (ts - ts0) / speed, less what a cap on idle gaps has cut out before it.
"""

from __future__ import annotations

import math
import time
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from replay.errors import ConfigError
from topics.fine_timer import FineTimers
from topics.types import NANOS_PER_SECOND, Int64Array


class Clock(Protocol):
    """The wall clock, as something that a test can hold."""

    def now_ns(self) -> int:
        """Return monotonic ns from any origin."""

    async def sleep(self, seconds: float) -> None:
        """Wait; 0 lets others run."""


class SystemClock:
    """The machine's monotonic clock."""

    def __init__(self) -> None:
        self._timers = FineTimers()

    def now_ns(self) -> int:
        """Return monotonic ns."""
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        """Wait, on Linux to some 0.1 ms; 0 lets others run."""
        await self._timers.sleep(seconds)


class Schedule:
    """Turns event times into times of the wall clock. Mutates self.

    Parameters
    ----------
    speed
        Event seconds a wall second (> 0).
    max_gap_s
        Longest wait between two ticks, in wall seconds (> 0); None for no cap.
    start_ns
        Wall time of the first tick.

    Raises
    ------
    ConfigError
        A parameter out of range.
    """

    def __init__(self, speed: float, max_gap_s: float | None, start_ns: int) -> None:
        if not (math.isfinite(speed) and speed > 0):
            raise ConfigError(f"`speed` (={speed}) must be > 0, or 0 for as fast as possible")
        if max_gap_s is not None and not max_gap_s > 0:
            raise ConfigError(f"`max_gap_s` (={max_gap_s}) must be > 0")
        self._speed = speed
        self._max_gap_ns = math.inf if max_gap_s is None else max_gap_s * NANOS_PER_SECOND
        self._start_ns = start_ns
        self._first_ts: int | None = None
        self._last_ts = 0
        self._cut_ns = 0.0

    def due_ns(self, ts_ns: NDArray[np.uint64]) -> Int64Array:
        """Return when the next ticks of the stream are due, (n,) ns of the wall clock, ascending.

        Parameters
        ----------
        ts_ns
            (n,) times of the clock that orders the replay; one that goes back is due with the one before it.
        """
        ts = ts_ns.astype(np.int64)
        if not len(ts):
            return ts
        if self._first_ts is None:
            self._first_ts = self._last_ts = int(ts[0])
        ts = np.maximum.accumulate(np.maximum(ts, self._last_ts))
        waits = np.diff(ts, prepend=self._last_ts) / self._speed
        cuts = self._cut_ns + np.cumsum(np.maximum(waits - self._max_gap_ns, 0.0))
        self._last_ts, self._cut_ns = int(ts[-1]), float(cuts[-1])
        due: Int64Array = self._start_ns + np.rint((ts - self._first_ts) / self._speed - cuts).astype(
            np.int64
        )
        return due


class LagRecorder:
    """How late ticks were handed over, to about 5 %. Mutates self."""

    _BINS_PER_OCTAVE: Final = 16
    _OCTAVES: Final = 64

    def __init__(self) -> None:
        self._counts = np.zeros(self._BINS_PER_OCTAVE * self._OCTAVES, dtype=np.int64)
        self._worst_ns = 0

    @property
    def worst_s(self) -> float:
        """The largest lag, seconds."""
        return self._worst_ns / NANOS_PER_SECOND

    def add(self, lags_ns: Int64Array) -> None:
        """Count lags, (n,) ns; negative ones count as none."""
        if not len(lags_ns):
            return
        lags = np.maximum(lags_ns, 0)
        bins = (np.log2(lags + 1.0) * self._BINS_PER_OCTAVE).astype(np.int64)
        self._counts += np.bincount(bins, minlength=len(self._counts))
        self._worst_ns = max(self._worst_ns, int(lags.max()))

    def quantile_s(self, q: float) -> float:
        """Return a quantile of the lags in seconds, rounded up to its bin's end; 0 without any."""
        total = int(self._counts.sum())
        if not total:
            return 0.0
        index = int(np.searchsorted(np.cumsum(self._counts), math.ceil(q * total)))
        bin_end_ns: float = 2.0 ** ((index + 1) / self._BINS_PER_OCTAVE) - 1.0
        return min(bin_end_ns / NANOS_PER_SECOND, self.worst_s)
