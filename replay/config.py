"""What a replay does, as one frozen value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from replay.errors import ConfigError
from replay.lateness import Lateness
from replay.sessions import Session
from replay.sources.base import Clock, Selection
from topics.types import NANOS_PER_SECOND

DEFAULT_BATCH_TICKS: Final = 1000
"""A message of trades is then 48 kB: beyond that neither broker nor worker gains."""

DEFAULT_HEARTBEAT_NS: Final = NANOS_PER_SECOND
DEFAULT_PARTITIONS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayConfig:
    """Settings of one replay.

    Attributes
    ----------
    run_id
        Names the replay in every message's headers and in its topics.
    universe
        Set of instruments that the pipeline ranks together.
    symbols
        Only these; None for all.
    start_ns, end_ns
        Half-open interval of ts_event, ns since the UNIX epoch; None for no bound.
    session
        Only ticks of these hours of each day; None for all.
    limit
        At most so many ticks, over all symbols (> 0); None for all.
    clock
        The time that orders the merged stream and paces it.
    late
        Ticks that are held back on purpose; None for none.
    speed
        Event seconds a wall second; 0 as fast as possible.
    max_gap_s
        Longest wait between two ticks in wall seconds; None for no cap.
    batch_ticks
        Records a message; paced messages are sent when due, however few they hold.
    partitions
        Of the tick topic; an instrument's is its id modulo this.
    heartbeat_ns
        Event time between heartbeats to every partition; 0 for none.
    check_first
        Read all input once before anything is published, so that damage in it leaves no half replay.

    Raises
    ------
    ConfigError
        A setting out of range, or an empty interval.
    """

    run_id: str
    universe: str = "default"
    symbols: frozenset[str] | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    session: Session | None = None
    limit: int | None = None
    clock: Clock = "ts_event"
    late: Lateness | None = None
    speed: float = 0.0
    max_gap_s: float | None = None
    batch_ticks: int = DEFAULT_BATCH_TICKS
    partitions: int = DEFAULT_PARTITIONS
    heartbeat_ns: int = DEFAULT_HEARTBEAT_NS
    check_first: bool = True

    def __post_init__(self) -> None:
        """Check what no later stage would."""
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"`limit` (={self.limit}) must be >= 1")
        if not 1 <= self.partitions <= 4096:
            raise ConfigError(f"`partitions` (={self.partitions}) must be in 1..4096")
        if not (math.isfinite(self.speed) and self.speed >= 0):
            raise ConfigError(f"`speed` (={self.speed}) must be >= 0; 0 is as fast as possible")
        if self.start_ns is not None and self.end_ns is not None and self.start_ns >= self.end_ns:
            raise ConfigError(f"the start (={self.start_ns}) must be before the end (={self.end_ns})")
        if self.symbols is not None and not self.symbols:
            raise ConfigError("`symbols` is empty; leave it out for all symbols")
        if self.max_gap_s is not None and not self.speed:
            raise ConfigError("a cap on gaps needs a pace: give --speed too")

    @property
    def selection(self) -> Selection:
        """What readers need to know of it."""
        return Selection(self.symbols, self.start_ns, self.end_ns, self.clock)
