"""The merge equals a stable sort of the concatenated sources, for every cut into chunks."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.merge import merge_chunks, rechunk
from tests.unit.replay.factories import trades

# Few distinct times, so that most records are tied with records of other sources.
times = st.lists(st.integers(0, 12), max_size=30).map(sorted)
sizes = st.lists(st.integers(0, 7), min_size=1, max_size=8)


def pieces(records, lengths):
    start = index = 0
    while start < len(records):
        length = lengths[index % len(lengths)] if any(lengths) else 1
        yield records[start : start + length]
        start, index = start + length, index + 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(times, sizes), min_size=1, max_size=20))
def test_merge_equals_a_stable_sort_of_the_concatenation(streams) -> None:
    records = [trades(ts, ids=number) for number, (ts, _) in enumerate(streams, start=1)]
    cuts = [pieces(one, lengths) for one, (_, lengths) in zip(records, streams, strict=True)]
    found = [chunk for chunk in merge_chunks(cuts, "ts_event") if len(chunk)]
    joined = np.concatenate(records)
    expected = joined[np.argsort(joined["ts_event"], kind="stable")]
    assert np.concatenate([*found, expected[:0]]).tobytes() == expected.tobytes()


@settings(max_examples=100, deadline=None)
@given(times, sizes, st.integers(1, 9))
def test_rechunking_changes_nothing_but_the_cuts(ts, lengths, rows) -> None:
    records = trades(ts)
    found = list(rechunk(pieces(records, lengths), rows))
    assert np.concatenate([*found, records[:0]]).tobytes() == records.tobytes()
    assert all(len(chunk) == rows for chunk in found[:-1])
    assert all(0 < len(chunk) <= rows for chunk in found)
