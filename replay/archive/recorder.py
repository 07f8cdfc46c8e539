"""Messages of topics into an archive: decode, gather, and commit whole files with the offsets after them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from pipeline.archive_folder import ArchiveFolder
from pipeline.archive_manifest import PartLabel
from pipeline.graph_archive import date_key, gathered, stage_graphs
from pipeline.graph_table import read_instrument_ids
from replay.archive.row_tables import Stored, message_rows, prediction_rows, window_rows, write_rows
from replay.archive.tick_table import write_tick_table
from topics.cuts import slice_graphs
from topics.envelope import DBN, ONE_TICK_JSON, Envelope
from topics.errors import SchemaError
from topics.graphs_codec import GRAPHS_SCHEMA, decode_graphs
from topics.predictions_codec import PREDICTIONS_SCHEMA, decode_predictions
from topics.runs import GraphRun, TickRun
from topics.ticks import SCHEMAS, decode_ticks, join_records
from topics.types import UInt32Array
from topics.windows_codec import WINDOWS_SCHEMA, decode_windows

COMMIT_BYTES: Final = 48 * 1024 * 1024

UNREADABLE: Final = "unreadable"
"""Schema under which an archive keeps what no decoder takes, as it was."""

_NANOS_PER_MS: Final = 1_000_000
_ROWS: Final = {PREDICTIONS_SCHEMA: prediction_rows, WINDOWS_SCHEMA: window_rows}
_DECODERS: Final = {
    PREDICTIONS_SCHEMA: decode_predictions,
    WINDOWS_SCHEMA: decode_windows,
    GRAPHS_SCHEMA: decode_graphs,
}


class Recorder:
    """Gathers messages and writes them to an archive. Mutates self.

    Parameters
    ----------
    archive
        Open for writing.
    start_ns, end_ns
        Half-open interval of the messages' event time that is kept, None for no bound; instruments are always.
    commit_bytes
        Messages of so many bytes are gathered before they are written: what bounds memory, and the files' size.
    """

    def __init__(
        self,
        archive: ArchiveFolder,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        commit_bytes: int = COMMIT_BYTES,
    ) -> None:
        self._archive = archive
        self._commit_bytes = commit_bytes
        self._start_ns, self._end_ns = start_ns, end_ns
        self._held: dict[tuple[str, int, str], list[Stored]] = defaultdict(list)
        self._next: dict[str, dict[int, int]] = defaultdict(dict)
        self._n_bytes = 0
        self._graphs: dict[str, tuple[int, UInt32Array]] = {}
        self.messages = 0
        self.rows = 0
        self.unreadable = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time to commit."""
        return self._n_bytes >= self._commit_bytes

    def begin(self, topic: str, partition: int, offset: int) -> None:
        """Say where the reading of a partition begins, also of one that will turn out to be empty."""
        self._next[topic][partition] = offset

    def add(self, topic: str, record: Any) -> None:
        """Take a message.

        Parameters
        ----------
        topic
            Short name, as in `topics.specs.SPECS`.
        record
            As an aiokafka consumer hands it over; offsets ascend within a partition.
        """
        self._next[topic][record.partition] = record.offset + 1
        time_ns = max(0, record.timestamp) * _NANOS_PER_MS
        if topic != "instruments" and not self._wants(time_ns):
            return
        schema, stored = _stored(record, time_ns)
        self.messages += 1
        self.unreadable += schema == UNREADABLE
        self._held[topic, record.partition, schema].append(stored)
        self._n_bytes += len(record.value or b"")

    def commit(self) -> None:
        """Write what was gathered; after it, nothing that was added is lost by a crash, nor read twice."""
        for (topic, partition, schema), messages in sorted(self._held.items()):
            if schema == GRAPHS_SCHEMA:
                self._stage_graphs(partition, messages)
            elif schema in SCHEMAS:
                self._stage_ticks(topic, partition, schema, messages)
            else:
                self._stage_rows(topic, partition, schema, messages)
        self._archive.commit(self._next)
        self._held.clear()
        self._next.clear()
        self._n_bytes = 0

    def _wants(self, time_ns: int) -> bool:
        after = self._start_ns is None or time_ns >= self._start_ns
        return after and (self._end_ns is None or time_ns < self._end_ns)

    def _stage_ticks(self, topic: str, partition: int, schema: str, messages: Sequence[Stored]) -> None:
        by_date: dict[str, list[Stored]] = defaultdict(list)
        for message in messages:
            by_date[date_key(int(message.value.records["ts_event"][0]) + 1, 1)].append(message)
        for date, of_date in by_date.items():
            runs: list[TickRun] = [message.value for message in of_date]
            records = join_records([run.records for run in runs])
            offsets = np.repeat(
                np.array([message.offset for message in of_date], np.int64),
                [len(run.records) for run in runs],
            )
            times = records["ts_event"]
            label = _label(topic, partition, schema, date, of_date, int(times.min()), int(times.max()))
            write = partial(write_tick_table, records=records, offsets=offsets)
            self._archive.stage(label, len(records), write)
            self.rows += len(records)

    def _stage_rows(self, topic: str, partition: int, schema: str, messages: Sequence[Stored]) -> None:
        table = _ROWS.get(schema, message_rows)(messages)
        times = [message.time_ns for message in messages]
        date = date_key(min(times) + 1, 1)
        label = _label(topic, partition, schema, date, messages, min(times), max(times))
        self._archive.stage(label, table.num_rows, lambda path: write_rows(path, table))
        self.rows += table.num_rows

    def _stage_graphs(self, partition: int, messages: Sequence[Stored]) -> None:
        by_universe: dict[str, list[Stored]] = defaultdict(list)
        for message in messages:
            by_universe[message.value.universe].append(message)
        for universe, of_universe in by_universe.items():
            last, seen = self._graphs.get(universe) or self._archived_graphs(universe)
            fresh: list[GraphRun] = []
            for message in of_universe:
                run: GraphRun = message.value
                # A worker that restarts sends windows again, with the same bytes: the first ones count.
                start = int(np.searchsorted(run.ts_close, last, side="right"))
                if start < len(run.ts_close):
                    fresh.append(slice_graphs(run, start, len(run.ts_close)))
                    last = int(run.ts_close[-1])
            for piece in gathered(fresh, seen=seen):
                stage_graphs(
                    self._archive,
                    piece,
                    partition=partition,
                    first_offset=of_universe[0].offset,
                    last_offset=of_universe[-1].offset,
                )
                self.rows += piece.mask.size
            self._graphs[universe] = (last, fresh[-1].instrument_ids if fresh else seen)

    def _archived_graphs(self, universe: str) -> tuple[int, UInt32Array]:
        parts = [part for part in self._archive.manifest.of_topic("graphs") if part.universe == universe]
        if not parts:
            return -1, np.empty(0, np.uint32)
        newest = max(parts, key=lambda part: part.ts_last)
        return newest.ts_last, read_instrument_ids(self._archive.root / newest.path)


def _label(
    topic: str, partition: int, schema: str, date: str, messages: Sequence[Stored], first: int, last: int
) -> PartLabel:
    first_offset, last_offset = messages[0].offset, messages[-1].offset
    name = f"p{partition:04d}-{first_offset:012d}-{last_offset:012d}.parquet"
    return PartLabel(
        path=f"{topic}/schema={schema}/{date}/{name}",
        topic=topic,
        schema=schema,
        ts_first=first,
        ts_last=last,
        partition=partition,
        first_offset=first_offset,
        last_offset=last_offset,
    )


def _stored(record: Any, time_ns: int) -> tuple[str, Stored]:
    """Return the schema under which a message is kept, and the message decoded."""
    envelope = None
    try:
        envelope = Envelope.from_headers(record.headers)
        schema = envelope.schema
        value: Any
        if envelope.content_type == DBN or schema == ONE_TICK_JSON or schema in SCHEMAS:
            value = decode_ticks(record.value, envelope)
            schema = value.schema
        elif schema in _DECODERS:
            value = _DECODERS[schema](record.value, envelope)
        else:
            value = bytes(record.value or b"").decode()
    except (SchemaError, UnicodeDecodeError):
        return UNREADABLE, Stored(record.offset, time_ns, record.key, envelope, bytes(record.value or b""))
    return schema, Stored(record.offset, time_ns, record.key, envelope, value)
