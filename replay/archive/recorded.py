"""The ticks of an archive as a source: as they were recorded, ids and order included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from replay.archive.ticks import ArchivedTicks, archived_ticks
from replay.errors import ConfigError
from replay.pieces import Piece
from replay.sources.base import Clock, Selection, Source, Tally
from topics.control import Instrument
from topics.runs import TickRun
from topics.ticks import is_heartbeat, take_records, tick_schema
from topics.types import BoolArray, RecordArray, UInt32Array


@dataclass(frozen=True, slots=True)
class RecordedSource:
    """Ticks that keep the ids, the partitions and the order in which they were recorded.

    So a replay of them makes the windows that the recorded session made: late ticks are late again, and
    heartbeats come where they came. Unlike other sources' records, its records bear the recorded ids.

    Attributes
    ----------
    instruments
        Announcements of the selected instruments, by id.
    """

    archive: ArchivedTicks
    instruments: tuple[Instrument, ...]
    is_cut: bool
    clock: Clock = "ts_event"
    tally: Tally = field(default_factory=Tally)

    @property
    def name(self) -> str:
        """The archive's folder."""
        return str(self.archive.root)

    @property
    def schema(self) -> str:
        """The schema of the records, the widest one where there are several."""
        names = {part.schema for parts in self.archive.parts for part in parts}
        return max(sorted(names), key=lambda name: tick_schema(name).dtype.itemsize)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The selected instruments' symbols, by id."""
        return tuple(instrument.symbol for instrument in self.instruments)

    @property
    def sectors(self) -> Mapping[str, str]:
        """Sector by symbol, where one was announced."""
        return {one.symbol: one.sector for one in self.instruments if one.sector is not None}

    @property
    def ids(self) -> UInt32Array:
        """The selected instruments' ids, (n,) ascending."""
        return np.array([instrument.instrument_id for instrument in self.instruments], np.uint32)

    def chunks(self) -> Iterator[RecordArray]:
        """Yield the ticks in the order in which they are replayed, without heartbeats."""
        for piece in self.pieces():
            if len(piece.ticks):
                yield piece.ticks

    def pieces(self) -> Iterator[Piece]:
        """Yield all records from the start, merged over the partitions; clears the tally.

        Raises
        ------
        ArchiveError
            A part is missing or damaged.
        """
        self.tally.clear()
        for schema, records, targets in merged(
            [self._selected(partition) for partition in range(self.archive.partitions)]
        ):
            keep = ~is_heartbeat(records)
            if keep.all():
                ticks, tick_targets = records, targets
            else:
                places = np.flatnonzero(keep)
                ticks, tick_targets = take_records(records, places), targets[places]
            self.tally.rows += len(ticks)
            yield Piece(schema, records, targets, ticks, tick_targets)

    def _selected(self, partition: int) -> Iterator[TickRun]:
        if not self.is_cut:
            yield from self.archive.runs(partition)
            return
        wanted = np.concatenate([np.zeros(1, np.uint32), self.ids])  # heartbeats are of instrument 0
        for run in self.archive.runs(partition):
            inside: BoolArray = np.isin(run.records["instrument_id"], wanted)
            if inside.any():
                yield TickRun(run.schema, take_records(run.records, np.flatnonzero(inside)))


def recorded_source(root: Path, selection: Selection) -> RecordedSource:
    """Return the ticks of an archive as a source.

    Raises
    ------
    ArchiveError
        The folder is no archive, a part of it is missing or damaged, or it holds no ticks.
    """
    archive = archived_ticks(root)
    wanted = tuple(one for one in archive.instruments if selection.wants(one.symbol))
    return RecordedSource(archive, wanted, is_cut=selection.symbols is not None)


def the_recorded(sources: Sequence[Source]) -> RecordedSource | None:
    """Return the archive among the sources, None if there is none.

    Raises
    ------
    ConfigError
        An archive beside other sources: its order and ids leave no place for theirs.
    """
    found = [source for source in sources if isinstance(source, RecordedSource)]
    if found and len(sources) > 1:
        raise ConfigError(
            f"{found[0].name}: is an archive, which is replayed as it was recorded and alone;"
            f" replay the other {len(sources) - 1} path(s) by themselves"
        )
    return found[0] if found else None


def merged(
    partitions: Sequence[Iterator[TickRun]],
) -> Iterator[tuple[str, RecordArray, np.ndarray[tuple[int], np.dtype[np.uint16]]]]:
    """Yield the records of all partitions by the latest time seen in their partition, each partition in its order.

    Holds one piece of every partition.

    Yields
    ------
    Schema, records (n,), and the partition of each (n,).
    """
    heads = [head for head in (_Head.first(p, runs) for p, runs in enumerate(partitions)) if head is not None]
    while heads:
        # Up to the end of the piece that ends first everything is loaded; ties go to the earlier partition.
        last, first = min((int(head.clock[-1]), index) for index, head in enumerate(heads))
        limit = np.uint64(last)
        taken: list[tuple[str, RecordArray, np.ndarray[tuple[int], np.dtype[np.uint64]], int]] = []
        for index, head in enumerate(heads):
            if index == first:
                cut = len(head.clock)
            else:
                cut = int(np.searchsorted(head.clock, limit, side="right" if index < first else "left"))
            if cut:
                taken.append((head.schema, head.records[:cut], head.clock[:cut], head.partition))
                head.drop(cut)
        heads = [head for head in heads if len(head.records) or head.load()]
        if len({schema for schema, *_ in taken}) > 1:
            # Of several schemas the pieces go one after the other: only the order within a partition counts.
            for schema, records, _, partition in taken:
                yield schema, records, np.full(len(records), partition, np.uint16)
            continue
        order = np.argsort(np.concatenate([clock for _, _, clock, _ in taken]), kind="stable")
        joined: RecordArray = np.concatenate([records for _, records, _, _ in taken])
        targets = np.repeat(
            np.array([partition for *_, partition in taken], np.uint16), [len(one[1]) for one in taken]
        )
        yield taken[0][0], take_records(joined, order), targets[order]


class _Head:
    """What is loaded of one partition and not yet merged. Mutates self."""

    def __init__(self, partition: int, runs: Iterator[TickRun]) -> None:
        self.partition = partition
        self.schema = ""
        self.records: RecordArray = np.empty(0, np.void)
        self.clock = np.empty(0, np.uint64)
        self._runs = runs
        self._latest = np.uint64(0)

    @classmethod
    def first(cls, partition: int, runs: Iterator[TickRun]) -> _Head | None:
        """Return a partition's head, None if it holds nothing."""
        head = cls(partition, runs)
        return head if head.load() else None

    def drop(self, n: int) -> None:
        """Forget the first records."""
        self.records, self.clock = self.records[n:], self.clock[n:]

    def load(self) -> bool:
        """Load the next piece; return whether there was one."""
        run = next(self._runs, None)
        if run is None:
            return False
        self.schema, self.records = run.schema, run.records
        times = np.array(run.records["ts_event"])
        times[times >= np.uint64(1 << 63)] = 0  # an undefined time does not move the clock
        self.clock = np.maximum.accumulate(np.maximum(times, self._latest))
        self._latest = self.clock[-1]
        return True
