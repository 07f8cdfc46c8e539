"""The merge of time-ordered sources."""

from __future__ import annotations

import numpy as np

from replay.merge import merge_chunks
from tests.unit.replay.factories import T0, cut, trades


def merged(*streams):
    return np.concatenate(list(merge_chunks(list(streams), "ts_event")))


def test_equal_times_come_in_the_order_of_the_streams_though_chunks_end_there() -> None:
    first = trades([1, 5, 5, 5, 9], ids=1)
    second = trades([5, 5, 7], ids=2)
    # One-row chunks: each stream's chunk ends in the middle of the tie.
    found = merged(cut(first, 1), cut(second, 1))
    assert (found["ts_event"] - T0).tolist() == [1, 5, 5, 5, 5, 5, 7, 9]
    assert found["instrument_id"].tolist() == [1, 1, 1, 1, 2, 2, 2, 1]
    assert found["sequence"].tolist() == [0, 1, 2, 3, 0, 1, 2, 4]


def test_a_single_stream_passes_unchanged() -> None:
    records = trades([3, 4, 8])
    assert merged(cut(records, 2)).tobytes() == records.tobytes()


def test_streams_without_records_are_no_hindrance() -> None:
    records = trades([3, 4])
    nothing = trades([])
    found = merged(iter([nothing, nothing]), iter([nothing, records, nothing]), iter([]))
    assert found.tobytes() == records.tobytes()


def test_no_stream_yields_nothing() -> None:
    assert list(merge_chunks([], "ts_event")) == []
    assert list(merge_chunks([iter([]), iter([])], "ts_event")) == []


def test_holds_one_chunk_of_each_stream() -> None:
    pulled: list[str] = []

    def stream(name: str, start: int):
        for chunk in range(4):
            pulled.append(name)
            yield trades(np.arange(10) + start + 10 * chunk)

    source = merge_chunks([stream("early", 0), stream("late", 1000)], "ts_event")
    next(source)
    # The late stream is not read ahead of what the merge needs.
    assert pulled.count("late") == 1
    assert pulled.count("early") <= 2
