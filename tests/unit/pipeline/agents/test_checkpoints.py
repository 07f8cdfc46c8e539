"""Checkpoints on a changelog that may end after any record, as a crash leaves it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.agents import checkpoints
from pipeline.agents.changelog import Entries
from pipeline.agents.checkpoints import Checkpoints
from pipeline.errors import StateDecodeError

KEY = b"universe"
CHUNK = 10


class Memory:
    """A changelog in memory: what is written is durable in order, up to `capacity`."""

    name = "memory"

    def __init__(self, records: list[tuple[bytes, bytes]], capacity: int | None = None) -> None:
        self.records = list(records)
        self.partitions: set[int] = set()
        self._capacity = capacity

    async def read(self, partition: int, is_enough: Callable[[Entries], bool]) -> Entries:
        self.partitions.add(partition)
        for start in reversed(range(len(self.records))):
            if is_enough(found := dict(self.records[start:])):
                return found
        return dict(self.records)

    async def write(self, partition: int, entries: Sequence[tuple[bytes, bytes]]) -> None:
        self.partitions.add(partition)
        for entry in entries:
            if self._capacity is not None and len(self.records) >= self._capacity:
                raise ConnectionError("the worker was killed here")
            self.records.append(entry)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "MAX_CHUNK_BYTES", CHUNK)


def restarted(records: list[tuple[bytes, bytes]]) -> Checkpoints:
    return Checkpoints(Memory(records), KEY)


async def save_all(table: Memory, states: list[bytes]) -> Checkpoints:
    saved = Checkpoints(table, KEY)
    await saved.load(3)
    for state in states:
        await saved.save(3, state)
    return saved


async def test_nothing_was_saved() -> None:
    assert await restarted([]).load(3) is None


async def test_a_state_larger_than_a_message_survives_a_restart() -> None:
    table, state = Memory([]), bytes(range(200)) * 3
    saved = await save_all(table, [state])
    assert await saved.load(3) == await restarted(table.records).load(3) == state
    assert len(table.records) == 60 + 1
    assert max(len(value) for key, value in table.records if key != KEY) == CHUNK
    assert table.records[-1][0] == KEY  # the head, once all that it names is there
    assert table.partitions == {3}


async def test_an_empty_state_is_one_too() -> None:
    table = Memory([])
    await save_all(table, [b"full", b""])
    assert await restarted(table.records).load(3) == b""


@settings(max_examples=80, deadline=None)
@given(states=st.lists(st.binary(max_size=5 * CHUNK), min_size=1, max_size=4), data=st.data())
def test_a_write_torn_anywhere_leaves_the_last_whole_one(states: list[bytes], data: st.DataObject) -> None:
    whole = Memory([])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "MAX_CHUNK_BYTES", CHUNK)
        asyncio.run(save_all(whole, states))
        kept = data.draw(st.integers(0, len(whole.records)))
        heads = [place for place, (key, _) in enumerate(whole.records[:kept]) if key == KEY]
        expected = states[len(heads) - 1] if heads else None
        survivor = restarted(whole.records[:kept])
        assert asyncio.run(survivor.load(3)) == expected
        # And the next worker saves over the torn one.
        asyncio.run(survivor.save(3, b"next" * CHUNK))
        assert asyncio.run(survivor.load(3)) == b"next" * CHUNK


async def test_a_write_that_fails_raises_and_is_not_taken_for_saved() -> None:
    table = Memory([])
    await save_all(table, [b"first"])
    again = Memory(table.records, capacity=len(table.records) + 2)
    checkpoint = Checkpoints(again, KEY)
    await checkpoint.load(3)
    with pytest.raises(ConnectionError):
        await checkpoint.save(3, bytes(5 * CHUNK))
    assert checkpoint.is_due
    assert await checkpoint.load(3) == await restarted(again.records).load(3) == b"first"


async def test_a_checkpoint_is_due_again_after_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = await save_all(Memory([]), [b"state"])
    assert not checkpoint.is_due
    monkeypatch.setattr(checkpoints, "INTERVAL_S", 0.0)
    assert checkpoint.is_due


@pytest.mark.parametrize("damage", ["lost", "changed"])
async def test_a_damaged_changelog_is_refused(damage: str) -> None:
    table = Memory([])
    await save_all(table, [bytes(range(3 * CHUNK))])
    records = list(table.records)
    key, value = records[1]
    records[1:2] = [] if damage == "lost" else [(key, bytes(len(value)))]
    with pytest.raises(StateDecodeError, match="'memory' is damaged"):
        await restarted(records).load(3)
