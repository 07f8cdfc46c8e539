"""Merge time-ordered sources into one stream, ordered by (clock, source, position in the source).

The order is total and a function of the records alone: equal to a stable sort of the concatenated sources,
whatever the sizes of their chunks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from topics.ticks import join_records, take_records
from topics.types import RecordArray

_WIDTH: Final = 16
"""Streams merged at once."""


@dataclass(slots=True)
class _Head:
    """What is loaded of one source and not yet merged. Mutated by `merge_chunks`."""

    chunks: Iterator[RecordArray]
    records: RecordArray
    clock: NDArray[np.uint64]

    @property
    def last(self) -> int:
        return int(self.clock[-1])


def merge_chunks(streams: Sequence[Iterator[RecordArray]], clock: str) -> Iterator[RecordArray]:
    """Yield the records of all streams in the order of (clock, stream, position).

    Holds one chunk of every stream.

    Parameters
    ----------
    streams
        Chunks of records of one dtype, each stream ascending in `clock`; chunks may be empty.
    clock
        Name of the uint64 field that orders.
    """
    if len(streams) == 1:
        yield from streams[0]
        return
    if len(streams) > _WIDTH:
        # Every round looks at every stream, so many are merged in a tree. Neighbors stay neighbors, hence the
        # order of ties too.
        width = -(-len(streams) // _WIDTH)
        groups = [streams[start : start + width] for start in range(0, len(streams), width)]
        yield from merge_chunks([merge_chunks(group, clock) for group in groups], clock)
        return
    heads = [head for head in (_load(stream, clock) for stream in streams) if head is not None]
    while len(heads) > 1:
        # Up to the end of the chunk that ends first everything is loaded. Ties go to the earlier stream, so
        # a later stream's records of that very time must wait: the earlier one may have more of them.
        last, first = min((head.last, index) for index, head in enumerate(heads))
        # Not a Python int: numpy would search uint64 among int64, and that as float64.
        limit = np.uint64(last)
        pieces = []
        exhausted = False
        for index, head in enumerate(heads):
            if index == first:
                cut = len(head.records)
            else:
                cut = int(np.searchsorted(head.clock, limit, side="right" if index < first else "left"))
            if not cut:
                continue
            pieces.append((head.records[:cut], head.clock[:cut]))
            if cut < len(head.records):
                head.records, head.clock = head.records[cut:], head.clock[cut:]
                continue
            following = _load(head.chunks, clock)
            if following is None:
                head.records = head.records[:0]
                exhausted = True
            else:
                head.records, head.clock = following.records, following.clock
        yield _merged(pieces)
        if exhausted:
            heads = [head for head in heads if len(head.records)]
    for head in heads:
        yield head.records
        yield from head.chunks


def rechunk(chunks: Iterator[RecordArray], rows: int) -> Iterator[RecordArray]:
    """Yield the same records in chunks of `rows`, the last one shorter; never an empty one.

    Where many sources run in step, a merge yields a few huge chunks and many tiny ones.
    """
    held: list[RecordArray] = []
    n_held = 0
    for records in chunks:
        if not len(records):
            continue
        held.append(records)
        n_held += len(records)
        if n_held < rows:
            continue
        whole = join_records(held)
        end = n_held - n_held % rows
        for start in range(0, end, rows):
            yield whole[start : start + rows]
        held, n_held = ([whole[end:]], n_held - end) if end < n_held else ([], 0)
    if held:
        yield join_records(held)


def _load(chunks: Iterator[RecordArray], clock: str) -> _Head | None:
    for records in chunks:
        if len(records):
            # Contiguous, because it is searched and sorted.
            return _Head(chunks, records, np.ascontiguousarray(records[clock]))
    return None


def _merged(pieces: list[tuple[RecordArray, NDArray[np.uint64]]]) -> RecordArray:
    if len(pieces) == 1:
        return pieces[0][0]
    times = np.concatenate([times for _, times in pieces])
    records = join_records([records for records, _ in pieces])
    # The pieces are sorted runs in the order of their streams: a stable sort by time alone is the whole key.
    return take_records(records, np.argsort(times, kind="stable"))
