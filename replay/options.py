"""Times, lists and durations from the texts that people type, and names for runs."""

from __future__ import annotations

import datetime as dt

from pipeline.durations import parse_duration
from replay.errors import ConfigError
from topics.types import NANOS_PER_SECOND

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def parse_time(text: str) -> int:
    """Return a date, a time, or digits as ns since the UNIX epoch; a time without a zone is UTC.

    Raises
    ------
    ConfigError
        None of these.

    Examples
    --------
    >>> parse_time("2013-10-07"), parse_time("2013-10-07T09:30-04:00")
    (1381104000000000000, 1381152600000000000)
    """
    if text.isascii() and text.isdigit() and len(text) > len("20131007"):
        return int(text)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"a time (={text!r}) must be like 2013-10-07, 2013-10-07T09:30-04:00, or ns since the UNIX epoch"
        ) from error
    since = (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * NANOS_PER_SECOND + since.microseconds * 1000


def parse_symbols(text: str) -> frozenset[str]:
    """Return the symbols of a list with commas between.

    Raises
    ------
    ConfigError
        An empty list.
    """
    symbols = frozenset(part.strip() for part in text.split(",") if part.strip())
    if not symbols:
        raise ConfigError(f"the symbols (={text!r}) must be names with commas between")
    return symbols


def new_run_id(now: dt.datetime) -> str:
    """Return a run id of a time of day, such as 20240131-235959-123."""
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}"


def parse_span(name: str, text: str) -> int:
    """Return a duration in ns.

    Parameters
    ----------
    name
        Of the option, for the error.

    Raises
    ------
    ConfigError
        The text is no duration.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
