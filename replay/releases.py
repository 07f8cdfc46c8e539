"""Which of a stream's next records may go now: those that are due, or those that a gate lets pass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import numpy as np

from replay.gate import Gate
from replay.pacing import Clock
from topics.ticks import is_heartbeat
from topics.types import NANOS_PER_SECOND, Int64Array, RecordArray

_SHORTEST_SLEEP_S: Final = 0.0005
"""So few ticks fall due meanwhile that a message would hold too few: the pace is kept to about this."""

_LONGEST_SLEEP_S: Final = 0.25
"""How long a stop may go unnoticed."""


async def due_slices(due: Int64Array, clock: Clock) -> AsyncIterator[tuple[int, int]]:
    """Yield start and end of what is due, once it is; empty slices during long waits, to be stopped at.

    Parameters
    ----------
    due
        (n,) ns of the clock, ascending.
    """
    start = 0
    while start < len(due):
        now = clock.now_ns()
        end = int(np.searchsorted(due, now, side="right"))
        if end > start:
            yield start, end
            start = end
            if start == len(due):
                return
            now = clock.now_ns()
        # At least the shortest sleep, also where the next tick is due already: else every few ticks of a
        # dense stream would be messages of their own.
        wait_s = (int(due[start]) - now) / NANOS_PER_SECOND
        if wait_s > _LONGEST_SLEEP_S:
            yield start, start
        await clock.sleep(min(max(wait_s, _SHORTEST_SLEEP_S), _LONGEST_SLEEP_S))


async def released_slices(records: RecordArray, gate: Gate) -> AsyncIterator[tuple[int, int]]:
    """Yield start and end of what the gate lets pass, asking again after each wait; also of nothing.

    Parameters
    ----------
    records
        (n,) ticks and heartbeats in the order in which they are sent.
    """
    ts_event, is_tick = records["ts_event"].astype(np.int64), ~is_heartbeat(records)
    start = 0
    while start < len(records):
        end = start + gate.released(ts_event[start:], is_tick[start:])
        yield start, end
        if end == start:
            await gate.wait()
        start = end
