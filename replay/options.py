"""A replay's settings from the texts that people type."""

from __future__ import annotations

import datetime as dt

from replay.config import ReplayConfig
from replay.errors import ConfigError
from replay.sessions import Session
from replay.sources.base import Clock
from topics.specs import replay_prefix
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


def replay_config(
    *,
    run_id: str,
    universe: str,
    partitions: int,
    start: str | None,
    end: str | None,
    session: str | None,
    symbols: str | None,
    limit: int | None,
    speed: float,
    max_gap_s: float | None,
    clock: Clock,
    batch_ticks: int,
    heartbeat_ns: int,
    check_first: bool,
) -> ReplayConfig:
    """Return the settings of a replay, its texts read.

    Raises
    ------
    ConfigError
        A text that cannot be read, or a setting out of range.
    SchemaError
        The run id would make no topic name.
    """
    replay_prefix(run_id)
    return ReplayConfig(
        run_id=run_id,
        universe=universe,
        partitions=partitions,
        start_ns=None if start is None else parse_time(start),
        end_ns=None if end is None else parse_time(end),
        session=None if session is None else Session.parse(session),
        symbols=None if symbols is None else parse_symbols(symbols),
        limit=limit,
        speed=speed,
        max_gap_s=max_gap_s,
        clock=clock,
        batch_ticks=batch_ticks,
        heartbeat_ns=heartbeat_ns,
        check_first=check_first,
    )
