"""Which times of the day are replayed: a half-open interval of wall time in one zone, every day."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Final, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from replay.errors import ConfigError
from topics.types import NANOS_PER_DAY, NANOS_PER_SECOND, BoolArray

REGULAR_HOURS: Final = "RTH"
"""Regular hours of the US equity exchanges."""

_REGULAR: Final = "09:30-16:00@America/New_York"
_FORM: Final = re.compile(r"(\d{2}:\d{2})-(\d{2}:\d{2})@(\S+)")
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Session:
    """A session of each day, [opens, closes) in wall time of `zone`.

    Examples
    --------
    >>> Session.parse("RTH").closes
    datetime.time(16, 0)
    """

    opens: dt.time
    closes: dt.time
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "RTH" or "09:30-16:00@America/New_York".

        Raises
        ------
        ConfigError
            Neither, an unknown zone, or a session that does not end after it starts.
        """
        found = _FORM.fullmatch(_REGULAR if text.upper() == REGULAR_HOURS else text)
        rule = f"must be {REGULAR_HOURS}, or like {_REGULAR}"
        if not found:
            raise ConfigError(f"the session (={text!r}) {rule}")
        try:
            opens, closes = (dt.time.fromisoformat(part) for part in found.groups()[:2])
            zone = ZoneInfo(found[3])
        except (ValueError, ZoneInfoNotFoundError) as error:
            raise ConfigError(f"the session (={text!r}) {rule}: {error}") from error
        if opens >= closes:
            raise ConfigError(f"the session (={text!r}) must end after it starts, on the same day")
        return cls(opens, closes, zone)

    def contains(self, ts_event: NDArray[np.uint64]) -> BoolArray:
        """Return which times, (n,) ns since the UNIX epoch, are in the session."""
        if not len(ts_event):
            return np.zeros(0, dtype=np.bool_)
        # A day earlier and later than in UTC, because the zone's day is another.
        first = int(ts_event.min()) // NANOS_PER_DAY - 1
        last = int(ts_event.max()) // NANOS_PER_DAY + 1
        dates = [_EPOCH.date() + dt.timedelta(days=day) for day in range(first, last + 1)]
        opens = np.array([self._utc_ns(date, self.opens) for date in dates], dtype=np.int64)
        closes = np.array([self._utc_ns(date, self.closes) for date in dates], dtype=np.int64)
        times = ts_event.astype(np.int64)
        day = np.searchsorted(opens, times, side="right") - 1
        inside: BoolArray = (day >= 0) & (times < closes[np.maximum(day, 0)])
        return inside

    def _utc_ns(self, date: dt.date, time: dt.time) -> int:
        since = dt.datetime.combine(date, time, self.zone).astimezone(dt.UTC) - _EPOCH
        return (since.days * 86_400 + since.seconds) * NANOS_PER_SECOND
