"""What is due goes when it is due, and what a gate holds waits for it; long waits can be left."""

from __future__ import annotations

import numpy as np

from replay.releases import due_slices, released_slices
from tests.unit.replay.factories import ManualClock, trades
from topics.types import NANOS_PER_SECOND as S
from topics.types import BoolArray, Int64Array


async def test_what_falls_due_together_goes_together() -> None:
    clock = ManualClock()
    t0 = clock.now_ns()
    slices = []
    async for start, end in due_slices(np.array([0, 0, S // 10, S // 10, S]) + t0, clock):
        slices.append((start, end, round((clock.now_ns() - t0) / S, 3)))
    assert [(start, end) for start, end, _ in slices if end > start] == [(0, 2), (2, 4), (4, 5)]
    assert [at for start, end, at in slices if end > start] == [0, 0.1, 1]
    # The wait of 0.9 s is broken up, so that a stop is noticed.
    assert len([at for start, end, at in slices if end == start]) >= 3


async def test_a_dense_stream_is_not_cut_into_single_ticks() -> None:
    clock = ManualClock()
    due = clock.now_ns() + np.arange(0, 1000) * 1000  # a tick each microsecond
    sizes = [end - start async for start, end in due_slices(due, clock)]
    assert sum(sizes) == 1000
    assert max(sizes) >= 500


class Gate:
    """Lets records up to a time pass, a second more after each wait."""

    def __init__(self, limit_ns: int) -> None:
        self.limit_ns = limit_ns
        self.waits = 0

    def released(self, ts_event: Int64Array, is_tick: BoolArray) -> int:
        later = np.flatnonzero(is_tick & (ts_event >= self.limit_ns))
        return int(later[0]) if len(later) else len(ts_event)

    def may_end(self) -> bool:
        return True

    async def wait(self) -> None:
        self.waits += 1
        self.limit_ns += S


async def test_a_gate_is_asked_again_after_each_wait() -> None:
    ticks = trades(np.array([0, 1, 5, 6, 25]) * (S // 10))
    first = int(ticks["ts_event"][0])
    gate = Gate(first + S // 2)
    slices = [found async for found in released_slices(ticks, gate)]
    assert slices == [(0, 2), (2, 2), (2, 4), (4, 4), (4, 4), (4, 5)]
    assert gate.waits == 3
