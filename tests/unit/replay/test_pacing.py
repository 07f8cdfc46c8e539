"""The absolute schedule and the record of lags."""

from __future__ import annotations

import math

import numpy as np
import pytest

from replay.errors import ConfigError
from replay.pacing import LagRecorder, Schedule, SystemClock
from tests.unit.replay.factories import T0
from topics.types import NANOS_PER_SECOND as S


def due(schedule: Schedule, *seconds: float) -> list[float]:
    times = (T0 + np.array(seconds) * S).astype(np.uint64)
    return ((schedule.due_ns(times) - 1000) / S).tolist()


def test_each_tick_has_its_own_place_whatever_came_before() -> None:
    assert due(Schedule(10.0, None, 1000), 0, 1, 25) == [0, 0.1, 2.5]


def test_chunks_continue_one_schedule() -> None:
    schedule = Schedule(2.0, None, 1000)
    assert due(schedule, 0, 4) + due(schedule, 10) == [0, 2, 5]


def test_a_capped_gap_moves_everything_after_it() -> None:
    schedule = Schedule(1.0, 3.0, 1000)
    assert due(schedule, 0, 2, 100, 101) + due(schedule, 500, 501) == [0, 2, 5, 6, 9, 10]


def test_time_that_goes_back_does_not_wait() -> None:
    assert due(Schedule(1.0, None, 1000), 0, 5, 4, 6) == [0, 5, 5, 6]


def test_nothing_is_due_of_nothing() -> None:
    assert due(Schedule(1.0, None, 1000)) == []


@pytest.mark.parametrize("speed", [0.0, -1.0, math.inf, math.nan])
def test_a_speed_must_be_a_pace(speed: float) -> None:
    with pytest.raises(ConfigError, match="`speed`"):
        Schedule(speed, None, 0)


def test_a_cap_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="`max_gap_s`"):
        Schedule(1.0, 0.0, 0)


def test_quantiles_are_within_a_bin_and_never_above_the_worst() -> None:
    recorder = LagRecorder()
    lags = np.arange(1, 10_001) * 1_000_000
    recorder.add(lags[:7000])
    recorder.add(lags[7000:])
    assert recorder.worst_s == 10.0
    assert recorder.quantile_s(0.99) == pytest.approx(9.9, rel=0.05)
    assert recorder.quantile_s(0.5) == pytest.approx(5.0, rel=0.05)
    assert recorder.quantile_s(1.0) == 10.0


def test_ticks_ahead_of_the_schedule_have_no_lag() -> None:
    recorder = LagRecorder()
    assert recorder.quantile_s(0.99) == 0.0
    recorder.add(np.array([-5, 0]))
    assert recorder.worst_s == 0.0


def test_the_system_clock_is_monotonic() -> None:
    clock = SystemClock()
    assert clock.now_ns() <= clock.now_ns()
