"""Cutting partitions into messages, and finding the place of an interrupted replay."""

from __future__ import annotations

import numpy as np
import pytest

from replay.batching import Batcher, SentTail
from replay.errors import ConfigError, ResumeMismatch
from tests.unit.replay.factories import T0, trades
from topics.envelope import Envelope
from topics.ticks import decode_ticks


def batcher(**options) -> Batcher:
    return Batcher("trades", **{"partitions": 2, "batch_ticks": 3, "run_id": "r1"} | options)


def add(target: Batcher, records):
    return target.add(records, (records["instrument_id"] % 2).astype(np.uint16))


def test_full_batches_leave_and_the_rest_waits_for_a_flush() -> None:
    target = batcher()
    full = add(target, trades(range(9), ids=[1, 2, 1, 1, 1, 1, 1, 1, 2]))
    assert [(b.partition, b.seq, len(b.run.records)) for b in full] == [(1, 0, 3), (1, 3, 3)]
    rest = target.flush()
    assert [(b.partition, b.seq, len(b.run.records)) for b in rest] == [(0, 0, 2), (1, 6, 1)]
    assert target.flush() == []


def test_partitions_take_turns() -> None:
    batches = add(batcher(), trades(range(12), ids=[1, 2] * 6))
    assert [b.partition for b in batches] == [0, 1, 0, 1]


def test_the_message_says_what_it_holds() -> None:
    target = batcher(batch_ticks=2)
    message = add(target, trades([10, 2_500_000], ids=1))[0].message()
    envelope = Envelope.from_headers(message.headers)
    assert (envelope.schema, envelope.seq, envelope.count) == ("trades", 0, 2)
    assert (envelope.run_id, envelope.mode) == ("r1", "replay")
    assert (message.partition, message.key) == (1, b"1")
    assert message.timestamp_ms == T0 // 1_000_000 + 2
    assert decode_ticks(message.value, envelope).records["sequence"].tolist() == [0, 1]


def test_what_was_sent_is_compared_and_left_out() -> None:
    records = trades(range(5))
    target = batcher(sent={1: SentTail(1, records[1:3])})
    assert target.is_catching_up
    assert [(b.seq, len(b.run.records)) for b in add(target, records) + target.flush()] == [(3, 2)]
    assert target.n_left_out == 3
    assert not target.is_catching_up
    target.require_resumed()


def test_other_records_in_the_topic_are_refused() -> None:
    target = batcher(sent={1: SentTail(1, trades([77, 78]))})
    with pytest.raises(ResumeMismatch, match=r"partition 1 holds other records at 1\.\.2"):
        add(target, trades(range(5)))


def test_a_replay_shorter_than_the_topic_is_refused() -> None:
    records = trades(range(5))
    target = batcher(sent={1: SentTail(3, records[3:5])})
    assert add(target, records[:2]) == []
    with pytest.raises(ResumeMismatch, match="holds 5 records, this replay has only 2"):
        target.require_resumed()


@pytest.mark.parametrize("batch_ticks", [0, -5, 10**6])
def test_batches_that_no_message_holds_are_refused(batch_ticks: int) -> None:
    with pytest.raises(ConfigError, match=r"`batch_ticks` .* must be in 1\.\."):
        batcher(batch_ticks=batch_ticks)
