"""What a replay did: every row accounted for, and a digest that two equal replays share."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a running replay is.

    Attributes
    ----------
    stage
        Reading the input once to check it, or replaying it.
    ts_event
        ns, of the latest tick read or emitted.
    fraction
        Done of the ticks, or of the event time when paced; None where the input was not read beforehand.
    """

    stage: Literal["check", "replay"]
    ticks: int
    ts_event: int
    fraction: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """Result of a replay.

    Attributes
    ----------
    is_complete
        False if it was stopped before its end: there is no end-of-replay record then.
    ticks
        Ticks emitted, heartbeats not counted; rows = ticks + skipped + not_selected once complete.
    rows
        Rows read of the selected symbols.
    skipped
        Rows that no window could take, by cause.
    not_selected
        Ticks outside the time range or beyond the limit.
    held_back
        Ticks held back on purpose (`ReplayConfig.late`).
    corrected
        Rows changed before they were emitted, by what was done.
    already_sent
        Records that a resumed replay found in the topic, heartbeats included.
    digest
        `sha256:<hex>` over the emitted ticks in their order, whatever the messages, pace and partitions.
    event_s, wall_s
        Event time from first to last tick, and how long it took.
    speed
        Event seconds a wall second, achieved; of a resumed replay, since it caught up.
    lag_p99_s, lag_worst_s
        How far ticks were behind the schedule; None when as fast as possible.
    """

    run_id: str
    schema: str
    is_complete: bool
    sources: tuple[str, ...]
    ticks: int
    ticks_by_symbol: dict[str, int]
    ticks_by_partition: tuple[int, ...]
    heartbeats: int
    messages: int
    rows: int
    skipped: dict[str, int]
    not_selected: int
    held_back: int
    corrected: dict[str, int]
    already_sent: int
    digest: str
    ts_first: int | None
    ts_last: int | None
    event_s: float
    wall_s: float
    speed: float | None
    ticks_per_s: float
    lag_p99_s: float | None
    lag_worst_s: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return asdict(self)

    def as_text(self) -> str:
        """Return it as a few lines for a person."""
        outcome = "complete" if self.is_complete else "INCOMPLETE, without end-of-replay; go on with --resume"
        lines = [
            f"replay {self.run_id}: {outcome}",
            f"  {self.ticks:,} ticks of {len(self.ticks_by_symbol)} symbols, {self.messages:,} messages of"
            f" {self.schema}, {self.heartbeats:,} heartbeats",
            f"  {self.rows:,} rows read{_counts(self.skipped, 'left out')}"
            f"{_counts(self.corrected, 'corrected')}, {self.not_selected:,} not selected",
        ]
        if self.ts_first is not None and self.ts_last is not None:
            lines.append(
                f"  event time {event_time_text(self.ts_first)} to {event_time_text(self.ts_last)} UTC in"
                f" {self.wall_s:.2f} s: {self.ticks_per_s:,.0f} ticks/s, {self.speed or 0:,.2f} x real time"
            )
        if self.held_back:
            lines.append(f"  {self.held_back:,} ticks held back on purpose")
        if self.already_sent:
            lines.append(f"  {self.already_sent:,} records had been sent before")
        if self.lag_p99_s is not None and self.lag_worst_s is not None:
            lines.append(
                f"  behind schedule: p99 {self.lag_p99_s * 1e3:.1f} ms, worst {self.lag_worst_s * 1e3:.1f} ms"
            )
        lines.append(f"  digest {self.digest}")
        return "\n".join(lines)


def event_time_text(ts_ns: int) -> str:
    """Return ns since the UNIX epoch as text to the second, UTC.

    Examples
    --------
    >>> event_time_text(1381152600000000000)
    '2013-10-07 13:30:00'
    """
    return str(np.datetime_as_string(np.datetime64(ts_ns, "ns"), unit="s")).replace("T", " ")


def _counts(counts: dict[str, int], what: str) -> str:
    if not counts:
        return ""
    return f", {sum(counts.values()):,} {what} ({', '.join(f'{cause} {n:,}' for cause, n in counts.items())})"
