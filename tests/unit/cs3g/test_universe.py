"""When a panel is too full of gaps for most of its instruments to count."""

from __future__ import annotations

import numpy as np
import pytest

from cs3g.panel_data import continuously_present
from cs3g.universe import thin_universe, warn_if_thin
from topics.types import BoolArray


def two_calendars(days: int = 140, daily: int = 2, others: int = 8) -> BoolArray:
    """Instruments that trade every day beside others that rest on two days of seven."""
    present = np.ones((days, daily + others), np.bool_)
    present[np.arange(days) % 7 >= 5, daily:] = False
    return present


def test_markets_of_different_days_in_one_file_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    present = two_calendars()
    warning = warn_if_thin(present, continuously_present(present, 16), 16)
    assert warning is not None
    assert "only 2.0 of 7.7 instruments" in warning
    assert "17 windows without a gap" in warning
    assert "36 of 124 windows hold less than a quarter" in warning
    assert capsys.readouterr().err == f"cs3g: warning: {warning}\n"


def test_gaps_of_single_instruments_are_told_without_another_calendar() -> None:
    g = np.random.default_rng(0)
    present = g.random((200, 50)) > 0.1
    warning = thin_universe(present, continuously_present(present, 16), 16)
    assert warning is not None
    assert "quarter" not in warning


@pytest.mark.parametrize("history", [1, 16])
def test_a_market_without_gaps_is_not_warned_of(history: int, capsys: pytest.CaptureFixture[str]) -> None:
    present = np.ones((60, 5), np.bool_)
    present[:20, 4] = False
    assert warn_if_thin(present, continuously_present(present, history), history) is None
    assert thin_universe(present[:1], present[:1], history) is None
    assert capsys.readouterr().err == ""
