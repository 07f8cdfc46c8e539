"""What a source of ticks is, and the rules that every reader applies to its rows.

A source yields records of one schema in the order of one clock, each chunk small enough that memory does not
grow with the file. Inside a source `instrument_id` is the 1-based position in `symbols`; `replay.instruments`
makes the ids of the replay from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import numpy as np

from topics.ticks import take_records
from topics.types import Int64Array, RecordArray

Clock = Literal["ts_event", "ts_recv"]
"""Which time of a record orders a replay: the exchange's, or the recorder's."""

CHUNK_ROWS: Final = 32_768
"""Records a chunk, about 2.6 MB of the widest schema."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a source is wanted; readers use it to leave out what they need not read.

    Attributes
    ----------
    symbols
        Only these; None for all.
    start_ns, end_ns
        Half-open interval of ts_event, ns since the UNIX epoch. Readers may yield more: the runner cuts.
    clock
        The time that orders the replay; schemas without ts_recv have only ts_event.
    chunk_rows
        Upper bound of the records a chunk.
    """

    symbols: frozenset[str] | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    clock: Clock = "ts_event"
    chunk_rows: int = CHUNK_ROWS

    def overlaps(self, first_ns: int, last_ns: int) -> bool:
        """Return whether anything in the closed interval [first_ns, last_ns] can be wanted."""
        after_start = self.start_ns is None or last_ns >= self.start_ns
        return after_start and (self.end_ns is None or first_ns < self.end_ns)

    def wants(self, symbol: str) -> bool:
        """Return whether a symbol is wanted."""
        return self.symbols is None or symbol in self.symbols


@dataclass(slots=True)
class Tally:
    """What a source has read so far: rows = yielded + skipped, to the row. Mutated while reading.

    Attributes
    ----------
    rows
        Rows of the selected symbols that were looked at.
    skipped
        Rows left out, by cause.
    corrected
        Rows that were changed before they were yielded, by what was done.
    """

    rows: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    corrected: Counter[str] = field(default_factory=Counter)

    def clear(self) -> None:
        """Start counting anew."""
        self.rows = 0
        self.skipped.clear()
        self.corrected.clear()


class Source(Protocol):
    """Ticks of one schema in the order of one clock."""

    @property
    def name(self) -> str:
        """What messages call it: the file's path, or a data set's name."""

    @property
    def schema(self) -> str:
        """A name in `topics.ticks.SCHEMAS`."""

    @property
    def clock(self) -> Clock:
        """The time by which the chunks are sorted."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Selected symbols; a record's `instrument_id` is a 1-based position in it."""

    @property
    def sectors(self) -> Mapping[str, str]:
        """Sector by symbol, where the data set knows them."""

    @property
    def tally(self) -> Tally:
        """What the present, or the last, iteration counted."""

    def chunks(self) -> Iterator[RecordArray]:
        """Yield the records from the start; every call reads anew and clears the tally."""


@dataclass(frozen=True, slots=True)
class StreamSource:
    """A source made of a function that reads.

    Attributes
    ----------
    read
        Yields the chunks and counts into the tally it is given.
    """

    name: str
    schema: str
    clock: Clock
    symbols: tuple[str, ...]
    read: Callable[[Tally], Iterator[RecordArray]]
    sectors: Mapping[str, str] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)

    def chunks(self) -> Iterator[RecordArray]:
        """Yield the records from the start; every call reads anew and clears the tally."""
        self.tally.clear()
        yield from self.read(self.tally)


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of a file as records, and which rows they were.

    Attributes
    ----------
    first_row
        1-based row of the block's first row in its file.
    kept
        Positions in the block of the rows that are still here, None for all.
    """

    records: RecordArray
    first_row: int
    kept: Int64Array | None = None

    def row_of(self, position: int) -> int:
        """Return the 1-based row in the file of a record of this block."""
        return self.first_row + (position if self.kept is None else int(self.kept[position]))

    def take(self, positions: Int64Array) -> Block:
        """Return the block with only some of its records."""
        kept = positions if self.kept is None else self.kept[positions]
        return Block(take_records(self.records, positions), self.first_row, kept)


def by_position(symbols: tuple[str, ...]) -> dict[str, int]:
    """Return each symbol's `instrument_id` inside a source."""
    return {symbol: position for position, symbol in enumerate(symbols, start=1)}


def flatnonzero(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Int64Array:
    """Return the positions of the true entries as int64."""
    return np.flatnonzero(mask).astype(np.int64, copy=False)
