"""A stage across a rebalance: what was in hand before it must never meet the state after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import faust
import pytest

from pipeline.agents.stage import MAX_QUEUED_MESSAGES, Stage


class RecordingStage(Stage):
    """Remembers what was processed since it last forgot."""

    def __init__(self, app: faust.App) -> None:
        super().__init__(app, self)
        self.processed: list[int] = []
        self.first_offset = 0
        self.processed_any = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def topic(self) -> str:
        return "source"

    async def unread(self) -> set[int]:
        return set()

    async def committed(self) -> dict[int, int]:
        return {0: self.first_offset}

    async def first_from(self, partition: int, offset: int) -> int:
        return offset

    def forget(self) -> None:
        self.processed.clear()

    async def checkpoint_if_due(self) -> None:
        """Keep none."""

    async def process(self, partition: int, events: list[Any]) -> None:
        await self.gate.wait()
        self.processed += [event.message.offset for event in events]
        self.processed_any.set()


class Stream:
    """What a Faust stream is to a stage: events in order, for ever."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    def noack(self) -> Stream:
        return self

    async def events(self) -> AsyncIterator[Any]:
        while True:
            yield await self.queue.get()

    def send(self, offset: int) -> None:
        message = SimpleNamespace(partition=0, offset=offset)
        self.queue.put_nowait(SimpleNamespace(message=message))


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.fixture
async def running() -> AsyncIterator[tuple[RecordingStage, Stream]]:
    stage, stream = RecordingStage(faust.App("stage-test")), Stream()
    consuming = asyncio.create_task(stage.consume(stream))  # type: ignore[arg-type]
    yield stage, stream
    consuming.cancel()
    await asyncio.gather(consuming, return_exceptions=True)


async def test_what_waits_behind_the_batch_in_flight_when_partitions_are_revoked_is_dropped(
    running: tuple[RecordingStage, Stream],
) -> None:
    stage, stream = running
    stage.first_offset = 6
    stage.gate.clear()
    stream.send(6)
    await settle()
    stream.send(7)
    await settle()
    resetting = asyncio.create_task(stage.reset())
    await settle()
    assert not resetting.done(), "the batch in flight must end first"
    stage.gate.set()
    await resetting
    await settle()
    assert stage.processed == []


async def test_an_event_that_waits_for_room_when_partitions_are_revoked_is_dropped(
    running: tuple[RecordingStage, Stream],
) -> None:
    stage, stream = running
    async with stage._turn:
        for offset in range(4 * MAX_QUEUED_MESSAGES):
            stream.send(offset)
        await settle()
        resetting = asyncio.create_task(stage.reset())
        await settle()
        stream.queue = asyncio.Queue()  # Faust clears what it has buffered
    await resetting
    await settle()
    assert stage.processed == []


async def test_nothing_of_the_new_assignment_is_dropped(running: tuple[RecordingStage, Stream]) -> None:
    stage, stream = running
    stage.first_offset = 1
    stream.send(1)
    await asyncio.wait_for(stage.processed_any.wait(), 5.0)
    await stage.reset()
    assert stage.processed == []
    stage.processed_any.clear()
    # Faust may resume the flow before it signals the assignment: the first message must not be lost.
    stream.send(1)
    stream.send(2)
    await asyncio.wait_for(stage.processed_any.wait(), 5.0)
    await settle()
    assert stage.processed == [1, 2]
