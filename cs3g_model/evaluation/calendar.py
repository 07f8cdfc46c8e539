"""What the starts of a panel's windows tell: their length, where sessions end, and how many fill a year."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["DAY_NS", "bar_length_ns", "session_numbers", "windows_a_year"]

DAY_NS: Final = 86_400_000_000_000

TRADING_DAYS_A_YEAR: Final = 252.0
CALENDAR_DAYS_A_YEAR: Final = 365.0

_SATURDAY: Final = 2  # of days since 1970-01-01, a Thursday, modulo 7
_SATURDAY_SHARE: Final = 0.05

Int64Array = NDArray[np.int64]


def bar_length_ns(starts_ns: Int64Array) -> int:
    """Return the smallest distance between two windows' starts, (T,) int64 ns ascending; a day with fewer."""
    return int(np.diff(starts_ns).min()) if len(starts_ns) > 1 else DAY_NS


def session_numbers(starts_ns: Int64Array, bar_ns: int) -> Int64Array:
    """Return the session of each intraday window; windows of a day or more are all of one.

    A session ends where the next window does not follow at once: what happens over a night or a pause is another
    thing than the return of a minute.

    Parameters
    ----------
    starts_ns
        (T,) int64, ascending.
    bar_ns
        Length of a window.

    Returns
    -------
    (T,) int64, from 0.
    """
    if bar_ns >= DAY_NS or not len(starts_ns):
        return np.zeros(len(starts_ns), np.int64)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.diff(starts_ns) > bar_ns, dtype=np.int64)])


def windows_a_year(starts_ns: Int64Array) -> float:
    """Return how many windows make a year: those of the median day times the days on which the market is open.

    A year has 252 days, 365 where a twentieth of the days are Saturdays; where the median distance of days is
    more than three, as many as fit into a year of the calendar.

    Parameters
    ----------
    starts_ns
        (T,) int64 ns since the epoch, UTC, ascending (T > 0).
    """
    days, counts = np.unique(starts_ns // DAY_NS, return_counts=True)
    distance = float(np.median(np.diff(days))) if len(days) > 1 else 1.0
    if distance > 3:
        return float(np.median(counts)) * CALENDAR_DAYS_A_YEAR / distance
    on_saturdays = bool(np.mean(days % 7 == _SATURDAY) >= _SATURDAY_SHARE)
    return float(np.median(counts)) * (CALENDAR_DAYS_A_YEAR if on_saturdays else TRADING_DAYS_A_YEAR)
