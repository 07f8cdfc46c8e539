from __future__ import annotations

import numpy as np
import pytest

from pipeline.barrier import WindowBarrier
from pipeline.errors import WindowRunError
from topics.runs import WINDOW_ROW_DTYPE, WindowRun


def run(partition: int, frontier: int, *keys: tuple[int, int], volume: int = 1, size: int = 10) -> WindowRun:
    rows = np.zeros(len(keys), WINDOW_ROW_DTYPE)
    for row, (ts_close, instrument) in zip(rows, keys, strict=True):
        row["ts_close"], row["instrument_id"], row["volume"] = ts_close, instrument, volume
    return WindowRun("u", partition, size, frontier, rows)


def keys_of(barrier: WindowBarrier) -> list[tuple[int, int]]:
    rows = barrier.take()
    return list(zip(rows["ts_close"].tolist(), rows["instrument_id"].tolist(), strict=True))


def test_a_window_waits_for_every_partition() -> None:
    barrier = WindowBarrier(2, 0)
    barrier.add(run(0, 20, (10, 2), (20, 4)))
    assert keys_of(barrier) == []
    barrier.add(run(1, 10, (10, 1), (10, 3)))
    assert barrier.complete_ns == 10
    assert keys_of(barrier) == [(10, 1), (10, 2), (10, 3)]
    assert keys_of(barrier) == []
    barrier.add(run(1, 30))
    assert keys_of(barrier) == [(20, 4)]
    assert barrier.complete_ns == 20


def test_the_first_emission_of_a_window_wins() -> None:
    barrier = WindowBarrier(1, 0)
    assert barrier.add(run(0, 20, (10, 1), (20, 1), volume=1)) == 0
    assert barrier.add(run(0, 30, (10, 1), (20, 1), (30, 1), volume=9)) == 2
    assert barrier.take()["volume"].tolist() == [1, 1, 9]


def test_a_window_that_the_frontier_passed_empty_stays_empty() -> None:
    barrier = WindowBarrier(1, 0)
    barrier.add(run(0, 20))
    assert barrier.add(run(0, 20, (20, 1))) == 1
    assert keys_of(barrier) == []


def test_an_older_frontier_does_not_move_back() -> None:
    barrier = WindowBarrier(1, 0)
    barrier.add(run(0, 20))
    barrier.add(run(0, 10))
    assert barrier.frontier_ns(0) == barrier.complete_ns == 20


def test_a_restored_barrier_drops_what_was_emitted() -> None:
    barrier = WindowBarrier(2, 20)
    barrier.add(run(0, 20, (20, 2)))
    barrier.add(run(1, 30, (20, 1), (30, 1)))
    assert barrier.complete_ns == 20
    assert keys_of(barrier) == []
    barrier.add(run(0, 30))
    assert keys_of(barrier) == [(30, 1)]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (run(2, 10), r"`partition` \(=2\) must be in 0..1"),
        (run(0, 10, (20, 2)), r"must be <= `frontier_ns` \(=10\)"),
        (run(0, 20, (20, 2), (10, 2)), "must ascend strictly"),
        (run(0, 20, (20, 2), (20, 2)), "must ascend strictly"),
        (run(0, 20, (20, 3)), "instrument 3 must be in partition 1 of 2, was in 0"),
        (run(0, 20, size=20), r"`size_ns` \(=20\) must be 10"),
    ],
)
def test_contradictory_runs_are_refused_whole(bad: WindowRun, message: str) -> None:
    barrier = WindowBarrier(2, 0, universe="u", size_ns=10)
    with pytest.raises(WindowRunError, match=message):
        barrier.add(bad)
    assert barrier.frontier_ns(0) == 0


def test_another_universe_is_refused() -> None:
    with pytest.raises(WindowRunError, match="`universe`"):
        WindowBarrier(1, 0, universe="v").add(run(0, 10))


def test_a_barrier_needs_a_partition() -> None:
    with pytest.raises(ValueError, match=r"`partitions` \(=0\)"):
        WindowBarrier(0, 0)
