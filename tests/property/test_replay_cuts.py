"""Neither chunks of the reader, nor messages, nor slices of a paced replay change what a partition gets."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.batching import Batcher, SentTail
from replay.heartbeats import Heartbeats
from tests.unit.replay.factories import trades

PARTITIONS = 3
ticks = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 7)), min_size=1, max_size=60).map(sorted)
cuts = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def emitted(rows, chunk_sizes, batch_ticks, *, flush_each=False, sent=None):
    """Return each partition's batches of a stream of (time, id) with a heartbeat every 50 ns."""
    records = trades([time for time, _ in rows], ids=[number for _, number in rows])
    beats = Heartbeats("trades", 50, PARTITIONS)
    batcher = Batcher("trades", partitions=PARTITIONS, batch_ticks=batch_ticks, run_id="r", sent=sent)
    batches = []
    start = index = 0
    while start < len(records):
        part = records[start : start + chunk_sizes[index % len(chunk_sizes)]]
        start, index = start + len(part), index + 1
        batches += batcher.add(*beats.insert(part, (part["instrument_id"] % PARTITIONS).astype(np.uint16)))
        if flush_each:
            batches += batcher.flush()
    batches += batcher.flush()
    found = defaultdict(list)
    for batch in batches:
        found[batch.partition].append(batch)
    return found


def joined(found):
    return {p: b"".join(batch.run.records.tobytes() for batch in batches) for p, batches in found.items()}


@settings(max_examples=150, deadline=None)
@given(ticks, cuts, st.integers(1, 20), st.booleans())
def test_partitions_hold_the_same_bytes_for_every_cut(rows, chunk_sizes, batch_ticks, flush_each) -> None:
    whole = joined(emitted(rows, [len(rows)], 10_000))
    assert joined(emitted(rows, chunk_sizes, batch_ticks, flush_each=flush_each)) == whole


@settings(max_examples=100, deadline=None)
@given(ticks, cuts, st.integers(1, 20))
def test_seq_numbers_the_records_of_a_partition_without_a_gap(rows, chunk_sizes, batch_ticks) -> None:
    for batches in emitted(rows, chunk_sizes, batch_ticks).values():
        lengths = [len(batch.run.records) for batch in batches]
        assert [batch.seq for batch in batches] == [sum(lengths[:i]) for i in range(len(lengths))]
        assert all(length == batch_ticks for length in lengths[:-1])
        assert 0 < lengths[-1] <= batch_ticks


@settings(max_examples=150, deadline=None)
@given(ticks, cuts, st.integers(1, 12), st.integers(1, 12), st.data())
def test_a_resumed_replay_continues_where_the_topic_ends(rows, chunk_sizes, before, after, data) -> None:
    first = emitted(rows, [len(rows)], before)
    kept = {p: data.draw(st.integers(0, len(batches)), label=f"kept of {p}") for p, batches in first.items()}
    sent = {p: SentTail(first[p][n - 1].seq, first[p][n - 1].run.records) for p, n in kept.items() if n}
    rest = emitted(rows, chunk_sizes, after, sent=sent)
    whole, tail = joined(first), joined(rest)
    for partition, n in kept.items():
        head = b"".join(batch.run.records.tobytes() for batch in first[partition][:n])
        assert head + tail.get(partition, b"") == whole[partition]
        if rest.get(partition):
            n_sent = sum(len(batch.run.records) for batch in first[partition][:n])
            assert rest[partition][0].seq == n_sent
