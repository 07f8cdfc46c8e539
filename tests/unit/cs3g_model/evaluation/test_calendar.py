"""Sessions and the number of windows a year, from the windows' starts."""

from __future__ import annotations

import numpy as np
import pytest

from cs3g_model.evaluation.calendar import DAY_NS, bar_length_ns, session_numbers, windows_a_year

MINUTE_NS, HOUR_NS = 60_000_000_000, 3_600_000_000_000
MONDAY_NS = 4 * DAY_NS  # 1970-01-05


def minutes(days: int, per_day: int, opens_h: float = 14.5) -> np.ndarray:
    day = MONDAY_NS + np.arange(days, dtype=np.int64)[:, None] * DAY_NS
    return (day + int(opens_h * HOUR_NS) + np.arange(per_day) * MINUTE_NS).ravel()


def weekdays(weeks: int) -> np.ndarray:
    days = [7 * week + day for week in range(weeks) for day in range(5)]
    return MONDAY_NS + np.array(days, np.int64) * DAY_NS


def test_daily_windows_are_one_session_and_252_a_year() -> None:
    starts = weekdays(30)
    assert bar_length_ns(starts) == DAY_NS
    assert not session_numbers(starts, DAY_NS).any()
    assert windows_a_year(starts) == 252


def test_a_market_that_trades_on_saturdays_has_365_days() -> None:
    assert windows_a_year(np.arange(100, dtype=np.int64) * DAY_NS) == 365


def test_weekly_and_monthly_windows_fill_a_calendar_year() -> None:
    assert windows_a_year(np.arange(50, dtype=np.int64) * 7 * DAY_NS) == pytest.approx(365 / 7)
    assert windows_a_year(np.arange(50, dtype=np.int64) * 30 * DAY_NS) == pytest.approx(365 / 30)


def test_minutes_count_those_of_the_median_day() -> None:
    starts = np.concatenate([minutes(4, 390), 4 * DAY_NS + minutes(1, 210)])
    assert windows_a_year(starts) == 390 * 252


def test_sessions_end_where_the_next_window_does_not_follow() -> None:
    morning, afternoon = minutes(2, 120, 1.5), minutes(2, 120, 5.0)
    starts = np.sort(np.concatenate([morning, afternoon]))
    number = session_numbers(np.delete(starts, 300), MINUTE_NS)
    assert number.tolist() == [0] * 120 + [1] * 120 + [2] * 60 + [3] * 59 + [4] * 120


def test_hours_follow_each_other() -> None:
    starts = np.arange(48, dtype=np.int64) * HOUR_NS
    assert not session_numbers(starts, HOUR_NS).any()


def test_nothing_and_one_window_are_fine() -> None:
    none, one = np.zeros(0, np.int64), np.array([5 * DAY_NS])
    assert bar_length_ns(one) == DAY_NS
    assert session_numbers(none, MINUTE_NS).shape == (0,)
    assert windows_a_year(one) == 252
