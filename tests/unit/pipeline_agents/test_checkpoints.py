"""Checkpoints on a changelog that may end after any record, as a crash leaves it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.agents import checkpoints
from pipeline.agents.checkpoints import Checkpoints
from pipeline.errors import StateDecodeError

KEY = b"universe"
CHUNK = 10


class Changelog:
    """The part of a Faust table that checkpoints use: what is sent is durable in order, up to `capacity`."""

    def __init__(self, records: list[tuple[bytes, bytes]], capacity: int | None = None) -> None:
        self.data: dict[bytes, bytes] = dict(records)
        self.records = list(records)
        self.partitions: set[int] = set()
        self._capacity = capacity

    async def _send(self, key: bytes, value: bytes) -> None:
        if self._capacity is not None and len(self.records) >= self._capacity:
            raise ConnectionError("the worker was killed here")
        self.records.append((key, value))

    def send_changelog(self, partition: int, key: bytes, value: bytes) -> Any:
        self.partitions.add(partition)
        return self._send(key, value)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "MAX_CHUNK_BYTES", CHUNK)


def restarted(records: list[tuple[bytes, bytes]]) -> Checkpoints:
    return Checkpoints(Changelog(records), KEY)  # type: ignore[arg-type]


async def save_all(table: Changelog, states: list[bytes]) -> Checkpoints:
    saved = Checkpoints(table, KEY)  # type: ignore[arg-type]
    for state in states:
        await saved.save(3, state)
    return saved


def test_nothing_was_saved() -> None:
    assert restarted([]).load() is None


async def test_a_state_larger_than_a_message_survives_a_restart() -> None:
    table, state = Changelog([]), bytes(range(200)) * 3
    saved = await save_all(table, [state])
    assert saved.load() == restarted(table.records).load() == state
    assert len(table.records) == 60 + 1
    assert max(len(value) for key, value in table.records if key != KEY) == CHUNK
    assert table.records[-1][0] == KEY  # the head, once all that it names is there
    assert table.partitions == {3}


async def test_an_empty_state_is_one_too() -> None:
    table = Changelog([])
    await save_all(table, [b"full", b""])
    assert restarted(table.records).load() == b""


@settings(max_examples=80, deadline=None)
@given(states=st.lists(st.binary(max_size=5 * CHUNK), min_size=1, max_size=4), data=st.data())
def test_a_write_torn_anywhere_leaves_the_last_whole_one(states: list[bytes], data: st.DataObject) -> None:
    whole = Changelog([])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "MAX_CHUNK_BYTES", CHUNK)
        asyncio.run(save_all(whole, states))
        kept = data.draw(st.integers(0, len(whole.records)))
        heads = [place for place, (key, _) in enumerate(whole.records[:kept]) if key == KEY]
        expected = states[len(heads) - 1] if heads else None
        survivor = restarted(whole.records[:kept])
        assert survivor.load() == expected
        # And the next worker saves over the torn one.
        asyncio.run(survivor.save(3, b"next" * CHUNK))
        assert survivor.load() == b"next" * CHUNK


async def test_a_write_that_fails_raises_and_is_not_taken_for_saved() -> None:
    table = Changelog([])
    await save_all(table, [b"first"])
    again = Changelog(table.records, capacity=len(table.records) + 2)
    checkpoint = Checkpoints(again, KEY)  # type: ignore[arg-type]
    with pytest.raises(ConnectionError):
        await checkpoint.save(3, bytes(5 * CHUNK))
    assert checkpoint.is_due
    assert checkpoint.load() == restarted(again.records).load() == b"first"


async def test_a_checkpoint_is_due_again_after_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = await save_all(Changelog([]), [b"state"])
    assert not checkpoint.is_due
    monkeypatch.setattr(checkpoints, "INTERVAL_S", 0.0)
    assert checkpoint.is_due


@pytest.mark.parametrize("damage", ["lost", "changed"])
async def test_a_damaged_changelog_is_refused(damage: str) -> None:
    table = Changelog([])
    await save_all(table, [bytes(range(3 * CHUNK))])
    records = list(table.records)
    key, value = records[1]
    records[1:2] = [] if damage == "lost" else [(key, bytes(len(value)))]
    with pytest.raises(StateDecodeError, match="changelog topic is damaged"):
        restarted(records).load()
