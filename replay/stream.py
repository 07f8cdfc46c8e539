"""The merged, selected stream of a replay's ticks: what is emitted, before pace and messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from replay.config import ReplayConfig
from replay.errors import ConfigError, EmptyReplay
from replay.heartbeats import Heartbeats
from replay.instruments import InstrumentTable
from replay.lateness import HeldBack
from replay.merge import merge_chunks, rechunk
from replay.pieces import Piece
from replay.schemas import common_schema, promote
from replay.sources.base import CHUNK_ROWS, Source
from topics.ticks import take_records, tick_schema
from topics.types import RecordArray


@dataclass(slots=True)
class Survey:
    """What a pass over a stream has found so far. Mutates self.

    Attributes
    ----------
    ticks
        Ticks that the replay will emit.
    """

    ticks: int = 0
    ts_first: int | None = None
    ts_last: int = 0

    def add(self, records: RecordArray) -> None:
        """Count a chunk, which is not empty."""
        times = records["ts_event"]
        if self.ts_first is None:
            self.ts_first = int(times[0])
        self.ts_last = max(self.ts_last, int(times.max()))
        self.ticks += len(records)


class TickStream:
    """Ticks of several sources in one schema, with the replay's ids, in merged order, cut to the selection.

    Raises
    ------
    ConfigError
        The clock is one that the schema does not have.
    EmptyReplay
        There are no sources.
    SchemaMismatch
        Sources that one schema cannot carry.
    """

    def __init__(self, config: ReplayConfig, sources: Sequence[Source], instruments: InstrumentTable) -> None:
        if not sources:
            raise EmptyReplay("nothing to replay: no source holds any of the selection")
        self.schema = common_schema([(source.name, source.schema) for source in sources])
        if config.clock not in (tick_schema(self.schema).dtype.names or ()):
            raise ConfigError(f"schema {self.schema} has no {config.clock}; replay it with --clock ts_event")
        self._config = config
        self._heartbeats = Heartbeats(self.schema, config.heartbeat_ns, config.partitions)
        self._held_back: HeldBack | None = None
        self._sources = tuple(sources)
        self._ids = [instruments.ids_of(source) for source in sources]

    def chunks(self) -> Iterator[RecordArray]:
        """Yield the ticks from the start, in chunks that are never empty."""
        if self._config.late is None:
            return self._merged()
        self._held_back = HeldBack(self._config.late, self._config.clock)
        return self._held_back.reorder(self._merged())

    def _merged(self) -> Iterator[RecordArray]:
        streams = [self._of_source(index) for index in range(len(self._sources))]
        left = self._config.limit
        for records in rechunk(merge_chunks(streams, self._config.clock), CHUNK_ROWS):
            records, is_past = self._in_range(records)
            if left is not None:
                records = records[:left]
                left -= len(records)
            if len(records):
                yield records
            if is_past or left == 0:
                return

    @property
    def heartbeats(self) -> int:
        """Heartbeats in the pieces so far."""
        return self._heartbeats.n_sent

    @property
    def held_back(self) -> int:
        """Ticks held back on purpose so far."""
        return 0 if self._held_back is None else self._held_back.n_late

    def pieces(self) -> Iterator[Piece]:
        """Yield ticks and heartbeats from the start; pieces are never empty."""
        self._heartbeats = Heartbeats(self.schema, self._config.heartbeat_ns, self._config.partitions)
        for ticks in self.chunks():
            partitions = (ticks["instrument_id"] % np.uint32(self._config.partitions)).astype(np.uint16)
            records, targets = self._heartbeats.insert(ticks, partitions)
            yield Piece(self.schema, records, targets, ticks, partitions)

    def empty(self) -> EmptyReplay:
        """Return the error that says why there is nothing to emit."""
        rows = sum(source.tally.rows for source in self._sources)
        causes: Counter[str] = sum((source.tally.skipped for source in self._sources), Counter())
        skipped = "".join(f", {count} {cause}" for cause, count in sorted(causes.items()))
        return EmptyReplay(
            f"nothing to replay: {rows} rows read{skipped}, none of the rest in the selection;"
            " look at --from, --to, --session and --symbols"
        )

    def _of_source(self, index: int) -> Iterator[RecordArray]:
        ids = self._ids[index]
        is_same = bool((ids == np.arange(len(ids))).all())
        for records in self._sources[index].chunks():
            records = promote(records, self.schema)
            if not is_same:
                records["instrument_id"] = ids[records["instrument_id"]]
            yield records

    def _in_range(self, records: RecordArray) -> tuple[RecordArray, bool]:
        start, end, session = self._config.start_ns, self._config.end_ns, self._config.session
        if not len(records) or (start is None and end is None and session is None):
            return records, False
        times = records["ts_event"]
        inside = np.ones(len(records), dtype=np.bool_)
        if start is not None:
            inside &= times >= max(start, 0)
        if end is not None:
            inside &= times < max(end, 0)
        if session is not None:
            inside &= session.contains(times)
        # Only in the order of ts_event does one tick past the end mean that all others are too.
        is_past = end is not None and self._config.clock == "ts_event" and int(times[-1]) >= end
        return (records if inside.all() else take_records(records, np.flatnonzero(inside))), is_past
