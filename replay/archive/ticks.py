"""The ticks of an archive, partition by partition in the order of the topic."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pyarrow.parquet as pq

from pipeline.archive_manifest import Part, read_manifest, verify
from pipeline.errors import ArchiveError
from replay.archive.tick_table import read_tick_table
from replay.sources.base import CHUNK_ROWS
from topics.control import Instrument
from topics.runs import TickRun
from topics.ticks import SCHEMAS, join_records
from topics.types import RecordArray

_TICKS: Final = "ticks"


@dataclass(frozen=True, slots=True)
class ArchivedTicks:
    """What an archive holds for a replay.

    Attributes
    ----------
    root
        The archive's folder.
    partitions
        Of the recorded topic.
    instruments
        The last announcement of each, by id.
    parts
        Files of records, by partition, each list by offset.
    """

    root: Path
    partitions: int
    instruments: tuple[Instrument, ...]
    parts: tuple[tuple[Part, ...], ...]

    def runs(self, partition: int) -> Iterator[TickRun]:
        """Yield a partition's records in the order of the topic, heartbeats included, in bounded pieces.

        Raises
        ------
        ArchiveError
            A part is missing or damaged.
        """
        for group in _overlapping(self.parts[partition]):
            yield from self._alone(group[0]) if len(group) == 1 else _coalesced(self._in_order(group))

    def _alone(self, part: Part) -> Iterator[TickRun]:
        path = verify(self.root, part)
        for records, _ in read_tick_table(path, part.schema, CHUNK_ROWS):
            yield TickRun(part.schema, records)

    def _in_order(self, group: list[Part]) -> Iterator[TickRun]:
        # A message is in one file, so offsets never tie.
        for _, run in heapq.merge(*(self._messages(part) for part in group), key=lambda pair: pair[0]):
            yield run

    def _messages(self, part: Part) -> Iterator[tuple[int, TickRun]]:
        path = verify(self.root, part)
        for records, offsets in read_tick_table(path, part.schema, CHUNK_ROWS):
            starts = np.flatnonzero(np.diff(offsets, prepend=-1))
            for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(records)], strict=True):
                yield int(offsets[start]), TickRun(part.schema, records[start:stop])


def archived_ticks(root: Path) -> ArchivedTicks:
    """Return the ticks of an archive, and the instruments that they name.

    Raises
    ------
    ArchiveError
        The folder is no archive, a part of it is missing or damaged, or it holds no ticks.
    """
    manifest = read_manifest(root)
    parts = [part for part in manifest.of_topic(_TICKS) if part.schema in SCHEMAS]
    if not parts:
        raise ArchiveError(f"{root}: the archive holds no ticks to replay: archive the topic `ticks`")
    n_partitions = len(manifest.next_offsets.get(_TICKS, {})) or 1 + max(part.partition for part in parts)
    by_partition: list[list[Part]] = [[] for _ in range(n_partitions)]
    for part in parts:
        by_partition[part.partition].append(part)
    ordered = tuple(tuple(sorted(of_one, key=lambda part: part.first_offset)) for of_one in by_partition)
    return ArchivedTicks(root, n_partitions, _instruments(root, manifest.of_topic("instruments")), ordered)


def _instruments(root: Path, parts: tuple[Part, ...]) -> tuple[Instrument, ...]:
    found: dict[int, Instrument] = {}
    for part in parts:
        if part.schema != Instrument.SCHEMA:
            continue
        with pq.ParquetFile(verify(root, part)) as file:
            for value in file.read(["value"]).column("value").to_pylist():
                instrument = msgspec.json.decode(value, type=Instrument)
                found[instrument.instrument_id] = instrument
    if not found:
        raise ArchiveError(f"{root}: the archive holds no instruments: archive `instruments` with `ticks`")
    return tuple(found[number] for number in sorted(found))


def _overlapping(parts: tuple[Part, ...]) -> Iterator[list[Part]]:
    """Group the files whose ranges of offsets overlap: those of other schemas or dates of one commit."""
    group: list[Part] = []
    last = -1
    for part in parts:
        if group and part.first_offset > last:
            yield group
            group = []
        group.append(part)
        last = max(last, part.last_offset)
    if group:
        yield group


def _coalesced(runs: Iterator[TickRun]) -> Iterator[TickRun]:
    held: list[RecordArray] = []
    schema, n_held = "", 0
    for run in runs:
        if held and (run.schema != schema or n_held >= CHUNK_ROWS):
            yield TickRun(schema, join_records(held))
            held, n_held = [], 0
        held.append(run.records)
        schema, n_held = run.schema, n_held + len(run.records)
    if held:
        yield TickRun(schema, join_records(held))
