"""When the windows of a generated market are."""

from __future__ import annotations

import datetime as dt
from typing import Final

import numpy as np

from replay.generator.config import MINUTES_PER_SESSION, Window
from topics.types import NANOS_PER_DAY, NANOS_PER_SECOND, Int64Array

FIRST_DAY: Final = dt.date(2015, 1, 5)
"""A Monday."""

_SESSION_OPENS_NS: Final = 14 * 3600 * NANOS_PER_SECOND + 1800 * NANOS_PER_SECOND
_SESSION_NS: Final = MINUTES_PER_SESSION * 60 * NANOS_PER_SECOND
_SIZES_NS: Final = {"1d": NANOS_PER_DAY, "1m": 60 * NANOS_PER_SECOND}
_DAYS_PER_WEEK: Final = 5


def window_size_ns(window: Window) -> int:
    """Return the length of a window in ns."""
    return _SIZES_NS[window]


def window_opens(window: Window, count: int) -> Int64Array:
    """Return the start of each window, (count,) int64 ns UTC: weekdays, or minutes from 14:30 to 21:00."""
    index = np.arange(count, dtype=np.int64)
    day, minute = (index, None) if window == "1d" else np.divmod(index, MINUTES_PER_SESSION)
    first = (FIRST_DAY - dt.date(1970, 1, 1)).days
    midnight = (first + day // _DAYS_PER_WEEK * 7 + day % _DAYS_PER_WEEK) * NANOS_PER_DAY
    if minute is None:
        return np.asarray(midnight, np.int64)
    return np.asarray(midnight + _SESSION_OPENS_NS + minute * _SIZES_NS["1m"], np.int64)


def trading_hours(window: Window) -> tuple[int, int]:
    """Return when trading starts in a window, ns after it opens, and how long it lasts."""
    return (_SESSION_OPENS_NS, _SESSION_NS) if window == "1d" else (0, _SIZES_NS["1m"])


def date_of(ts_ns: int) -> dt.date:
    """Return the UTC date of a time in ns."""
    return dt.date(1970, 1, 1) + dt.timedelta(days=int(ts_ns) // NANOS_PER_DAY)
