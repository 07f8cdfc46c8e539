"""Which ticks no window may take, and why."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from topics.runs import TickRun
from topics.ticks import is_heartbeat
from topics.types import NANOS_PER_DAY, NANOS_PER_SECOND
from topics.validity import CAUSES, MAX_TS_EVENT, invalid_causes

BAR_NS: Final = {
    "ohlcv-1s": NANOS_PER_SECOND,
    "ohlcv-1m": 60 * NANOS_PER_SECOND,
    "ohlcv-1h": 3600 * NANOS_PER_SECOND,
    "ohlcv-1d": NANOS_PER_DAY,
}
"""Length of the bars of a schema in ns."""

REFUSAL_CAUSES: Final = (*CAUSES, "bar_outlasts_window", "other_partition")
"""Why a tick is refused: the contract's own causes, then those of the windows."""

_UNDEFINED_TIME: Final = REFUSAL_CAUSES.index("undefined_time")
_BAR_OUTLASTS: Final = REFUSAL_CAUSES.index("bar_outlasts_window")
_OTHER_PARTITION: Final = REFUSAL_CAUSES.index("other_partition")


def bars_fit(schema: str, size_ns: int) -> bool:
    """Return whether a schema's records end inside the window that they start in."""
    return size_ns % BAR_NS.get(schema, 1) == 0


def last_valid_ns(size_ns: int) -> int:
    """Return the largest ts_event whose window's end fits an int64."""
    return MAX_TS_EVENT - size_ns


def refusal_causes(
    run: TickRun, *, size_ns: int, partition: int, partitions: int | None
) -> NDArray[np.uint8]:
    """Return each row's cause as an index into `REFUSAL_CAUSES`, 0 for a row that a window may take.

    A bar is refused where it outlasts its window: it would be known before it is over. A row whose
    instrument belongs to another partition is, because two partitions' rows of one instrument collide later.
    """
    records = run.records
    causes = invalid_causes(run)
    instruments = ~is_heartbeat(records)
    if not bars_fit(run.schema, size_ns):
        causes[instruments & (causes == 0)] = _BAR_OUTLASTS
    if partitions is not None:
        stray = records["instrument_id"] % np.uint32(partitions) != partition
        causes[stray & instruments & (causes == 0)] = _OTHER_PARTITION
    causes[records["ts_event"] > last_valid_ns(size_ns)] = _UNDEFINED_TIME
    return causes
