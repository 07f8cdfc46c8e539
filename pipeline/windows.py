"""Tumbling event-time windows of one tick partition: ticks in, closed windows and refused ticks out.

Window [ts_open, ts_close) of a tick is floor(ts_event / size), aligned to the epoch. The watermark before a
tick is the largest ts_event of the earlier ticks (heartbeats included) minus the allowed lateness; a tick is
late when its window ends at or before it. So every verdict belongs to the tick, not to the message, and
every tick comes back exactly once: counted in a window, late, or invalid.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.columns import Columns, columns_of, keys_are_clean
from pipeline.errors import ConfigError
from pipeline.open_windows import OpenWindows
from pipeline.refusals import REFUSAL_CAUSES, bars_fit, last_valid_ns, refusal_causes
from pipeline.slots import LATE
from topics.runs import TickRun, WindowRun
from topics.ticks import TickSchema, join_records, tick_schema
from topics.types import RecordArray, UInt32Array

MAX_SIZE_NS: Final = 2**53
"""Longest window, 104 days: the end of a window that holds the latest valid time still fits an int64."""

_CHUNK: Final = 8192
_NONE: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What became of a run of ticks.

    Attributes
    ----------
    closed
        The windows that the run closed, perhaps none; None where the frontier did not move either.
    late
        Ticks whose window had closed, in order of arrival, as the records that came in.
    late_positions
        (len(late),) their places in the run.
    invalid
        Ticks that no window may take, in order of arrival.
    invalid_positions
        (len(invalid),) their places in the run.
    invalid_causes
        Why, one name for each.
    last_close_touched_ns
        End of the latest window that a valid record of the run falls into, heartbeats and late ticks
        included: the message may be acknowledged when the acknowledged frontier has reached it. 0 for none.
    """

    closed: WindowRun | None
    late: RecordArray
    late_positions: NDArray[np.int64]
    invalid: RecordArray
    invalid_positions: NDArray[np.int64]
    invalid_causes: tuple[str, ...]
    last_close_touched_ns: int


class WindowAggregator:
    """Folds one partition's ticks into windows; mutates self.

    It holds nothing that the ticks of the open windows do not give again: after a restart a new one is
    fed from the first unacknowledged message.

    Parameters
    ----------
    universe
        Name that the windows carry.
    partition
        The tick partition.
    size_ns
        Length of a window (> 0).
    allowed_lateness_ns
        How far the watermark trails the largest ts_event (>= 0).
    partitions
        Number of tick partitions, to refuse ticks that belong to another one; None takes them all.

    Raises
    ------
    ConfigError
        A number is out of range.
    """

    def __init__(
        self,
        universe: str,
        partition: int,
        size_ns: int,
        allowed_lateness_ns: int,
        *,
        partitions: int | None = None,
    ) -> None:
        if not 0 < size_ns <= MAX_SIZE_NS:
            raise ConfigError(f"`size_ns` (={size_ns}) must be in 1..{MAX_SIZE_NS}", setting="window_size_ns")
        if not 0 <= allowed_lateness_ns <= MAX_SIZE_NS:
            raise ConfigError(
                f"`allowed_lateness_ns` (={allowed_lateness_ns}) must be in 0..{MAX_SIZE_NS}",
                setting="allowed_lateness_ns",
            )
        if not 0 <= partition < (partition + 1 if partitions is None else partitions):
            raise ConfigError(f"`partition` (={partition}) must be >= 0 and < {partitions} tick partitions")
        self.universe = universe
        self.partition = partition
        self.size_ns = size_ns
        self.allowed_lateness_ns = allowed_lateness_ns
        self._partitions = partitions
        self._frontier_ns = 0
        self._open = OpenWindows(size_ns, allowed_lateness_ns)

    @property
    def frontier_ns(self) -> int:
        """Every window with ts_close <= frontier_ns is closed."""
        return self._frontier_ns

    @property
    def watermark_ns(self) -> int:
        """Ticks of windows that end at or before it are late."""
        return self._open.watermark_ns

    @property
    def open_ticks(self) -> int:
        """Ticks folded into windows that are still open."""
        return self._open.n_ticks

    def fold(self, run: TickRun) -> FoldResult:
        """Fold a run of ticks, in the order of its records.

        Raises
        ------
        topics.errors.UnknownVersion
            The schema is none that ticks have.
        """
        schema, records = tick_schema(run.schema), run.records
        if len(records) <= _CHUNK:
            return self._fold_chunk(schema, records)
        # In chunks, so that one huge run needs no more open accumulators than many small ones.
        starts = range(0, len(records), _CHUNK)
        return _join(starts, [self._fold_chunk(schema, records[i : i + _CHUNK]) for i in starts])

    def advance(self, ts_ns: int) -> WindowRun | None:
        """Move the watermark to ts_ns at least, because the feed is idle; return what that closed.

        Event time is the ticks' own otherwise; this is for live feeds that fell silent.
        """
        self._open.raise_floor(ts_ns)
        return self._close()

    def finish(self, ts_last_ns: int) -> WindowRun | None:
        """Close every window up to the one that holds ts_last_ns, the end of a replay."""
        return self.advance(self._close_of(ts_last_ns))

    def _close_of(self, ts_ns: int) -> int:
        return (ts_ns // self.size_ns + 1) * self.size_ns

    def _fold_chunk(self, schema: TickSchema, records: RecordArray) -> FoldResult:
        instrument_id = np.ascontiguousarray(records["instrument_id"])
        columns = columns_of(schema, records)
        causes = self._causes(schema, records, columns, instrument_id)
        verdict = np.zeros(len(records), np.uint8) if causes is None else (causes != 0).view(np.uint8)
        slots, latest, n_late = self._open.assign(columns.ts_event, instrument_id, verdict)
        columns.fold(slots, self._open.accumulators)
        late = np.flatnonzero(verdict == LATE) if n_late else _NONE
        invalid = _NONE if causes is None else np.flatnonzero(causes)
        return FoldResult(
            closed=self._close(),
            late=records[late] if n_late else records[:0],
            late_positions=late,
            invalid=records[invalid] if len(invalid) else records[:0],
            invalid_positions=invalid,
            invalid_causes=() if causes is None else tuple(REFUSAL_CAUSES[code] for code in causes[invalid]),
            last_close_touched_ns=0 if latest < 0 else self._close_of(latest),
        )

    def _causes(
        self, schema: TickSchema, records: RecordArray, columns: Columns, instrument_id: UInt32Array
    ) -> NDArray[np.uint8] | None:
        # None: every row may be folded.
        partition, partitions = (0, 1) if self._partitions is None else (self.partition, self._partitions)
        last_ns = last_valid_ns(self.size_ns)
        if (
            bars_fit(schema.name, self.size_ns)
            and keys_are_clean(columns.ts_event, instrument_id, last_ns, partition, partitions)
            and columns.is_clean(instrument_id)
        ):
            return None
        return refusal_causes(
            TickRun(schema.name, records),
            size_ns=self.size_ns,
            partition=self.partition,
            partitions=self._partitions,
        )

    def _close(self) -> WindowRun | None:
        frontier = self.watermark_ns // self.size_ns * self.size_ns
        if frontier <= self._frontier_ns:
            return None
        self._frontier_ns = frontier
        return WindowRun(self.universe, self.partition, self.size_ns, frontier, self._open.close(frontier))


def _join(starts: Iterable[int], results: list[FoldResult]) -> FoldResult:
    closed = [result.closed for result in results if result.closed is not None]
    offsets = list(zip(starts, results, strict=True))
    return FoldResult(
        # Later chunks close later windows only, so the rows are in order already.
        closed=replace(closed[-1], rows=join_records([run.rows for run in closed])) if closed else None,
        late=np.concatenate([result.late for result in results]),
        late_positions=np.concatenate([start + result.late_positions for start, result in offsets]),
        invalid=np.concatenate([result.invalid for result in results]),
        invalid_positions=np.concatenate([start + result.invalid_positions for start, result in offsets]),
        invalid_causes=tuple(cause for result in results for cause in result.invalid_causes),
        last_close_touched_ns=max(result.last_close_touched_ns for result in results),
    )
