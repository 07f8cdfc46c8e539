"""New York wall time as ns since the UNIX epoch, as LEAN's files write it."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from replay.sources.columns import Columns
from topics.types import NANOS_PER_DAY, NANOS_PER_SECOND, Int64Array

_ZONE: Final = ZoneInfo("America/New_York")
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NANOS_PER_HOUR: Final = 3600 * NANOS_PER_SECOND


def since_midnight(date: dt.date, columns: Columns) -> Int64Array:
    """Return a column `time` of ms since midnight in New York, (n,).

    Raises
    ------
    InvalidRow
        Not within the day.
    """
    ms = columns.numbers("time")
    columns.refuse("time", ~((ms >= 0) & (ms <= 86_400_000)), ms, "must be in 0..86400000 ms since midnight")
    elapsed: Int64Array = np.rint(ms * 1_000_000).astype(np.int64)
    starts = _hours_ns(date)
    # Clocks change at full hours, so an hour of the wall clock has one offset to UTC.
    hours = np.minimum(elapsed // _NANOS_PER_HOUR, 23)
    times: Int64Array = starts[hours] + (elapsed - hours * _NANOS_PER_HOUR)
    return times


def of_texts(columns: Columns, to_ns: Callable[[dt.datetime], int]) -> Int64Array:
    """Return a column `time` of texts such as "20131007 09:00", (n,), each distinct one parsed once.

    Raises
    ------
    InvalidRow
        Not such a text.
    """
    rule = "must be like 20131007 09:00"
    texts, indices = columns.texts("time")
    columns.refuse("time", indices < 0, indices, rule)
    times = np.zeros(len(texts), dtype=np.int64)
    for index, text in enumerate(texts):
        try:
            times[index] = to_ns(dt.datetime.strptime(text, "%Y%m%d %H:%M"))
        except ValueError:
            columns.refuse("time", indices == index, np.array(texts, dtype=object)[indices], rule)
            raise
    return times[indices]


def parse_day(digits: str) -> dt.date | None:
    """Return the date that eight digits name, None where they name none."""
    try:
        return dt.datetime.strptime(digits, "%Y%m%d").date()
    except ValueError:
        return None


def day_span_ns(date: dt.date) -> tuple[int, int]:
    """Return the first and the last ns of a New York day."""
    starts = _hours_ns(date)
    return int(starts[0]), int(starts[23]) + _NANOS_PER_HOUR - 1


def midnight_utc_ns(moment: dt.datetime) -> int:
    """Return 00:00 UTC of a moment's date: where daily bars start, as those of every other panel do."""
    return (moment.date() - _EPOCH.date()).days * NANOS_PER_DAY


def wall_ns(moment: dt.datetime) -> int:
    """Return a naive New York time as ns since the UNIX epoch."""
    delta = moment.replace(tzinfo=_ZONE).astimezone(dt.UTC) - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * NANOS_PER_SECOND


@functools.lru_cache(maxsize=64)
def _hours_ns(date: dt.date) -> Int64Array:
    midnight = dt.datetime.combine(date, dt.time())
    return np.array([wall_ns(midnight + dt.timedelta(hours=hour)) for hour in range(24)], dtype=np.int64)
