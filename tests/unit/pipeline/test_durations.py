from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "ns"),
    [("1s", 10**9), ("250ms", 250 * 10**6), ("1d", 86_400 * 10**9), ("3 us", 3000), ("5m", 300 * 10**9),
     ("2h", 7_200 * 10**9), ("42", 42), ("7ns", 7), (11, 11), ("0", 0)],
)  # fmt: skip
def test_durations_are_read(text: str | int, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize("text", ["", "s", "1.5s", "-1s", "1 week", "1e3", True, None, "1s2", "٣s"])
def test_other_text_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must be a whole number"):
        parse_duration(text)  # type: ignore[arg-type]


@given(st.integers(0, 2**60))
def test_formatting_is_the_inverse(ns: int) -> None:
    assert parse_duration(format_duration(ns)) == ns
