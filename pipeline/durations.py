"""Durations as people write them: "250ms", "1s", "1d", or a plain number of nanoseconds."""

from __future__ import annotations

import re
from typing import Final

_UNIT_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3_600 * 1_000_000_000,
    "d": 86_400 * 1_000_000_000,
}
_DURATION: Final = re.compile(r"([0-9]+)\s*(ns|us|ms|s|m|h|d)?")


def parse_duration(value: int | str) -> int:
    """Return a duration in nanoseconds.

    Parameters
    ----------
    value
        Whole ns, or a whole number with one of the units ns, us, ms, s, m, h, d (a day is 24 hours).

    Raises
    ------
    ValueError
        The text is none of that.

    Examples
    --------
    >>> parse_duration("250ms"), parse_duration("1d"), parse_duration(7)
    (250000000, 86400000000000, 7)
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    matched = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if matched is None:
        raise ValueError(
            f"a duration (={value!r}) must be a whole number of ns, us, ms, s, m, h or d: '250ms'"
        )
    return int(matched[1]) * _UNIT_NS[matched[2] or "ns"]


def format_duration(ns: int) -> str:
    """Return a duration in the largest unit that holds it whole.

    Examples
    --------
    >>> format_duration(90_000_000_000), format_duration(86_400_000_000_000)
    ('90s', '1d')
    """
    for unit, unit_ns in reversed(_UNIT_NS.items()):
        if ns and ns % unit_ns == 0:
            return f"{ns // unit_ns}{unit}"
    return f"{ns}ns"
