"""A stage across a rebalance: what was in hand before it must never meet the state after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import faust
import pytest

from pipeline.agents.stage import Stage


class RecordingStage(Stage):
    """Remembers what was processed since it last forgot."""

    def __init__(self, app: faust.App) -> None:
        super().__init__(app)
        self.processed: list[int] = []
        self.processed_any = asyncio.Event()

    def forget(self) -> None:
        self.processed.clear()

    async def checkpoint_if_due(self) -> None:
        """Keep none."""

    async def process(self, partition: int, events: list[Any]) -> None:
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

    def send(self, offset: int, generation: int) -> None:
        message = SimpleNamespace(partition=0, offset=offset, generation_id=generation)
        self.queue.put_nowait(SimpleNamespace(message=message))


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.fixture
async def running() -> AsyncIterator[tuple[RecordingStage, Stream]]:
    stage, stream = RecordingStage(faust.App("stage-test")), Stream()
    consuming = asyncio.create_task(stage.consume(stream))  # type: ignore[arg-type]
    stage.app.consumer_generation_id = 1
    stage.resume()
    yield stage, stream
    consuming.cancel()
    await asyncio.gather(consuming, return_exceptions=True)


async def test_a_batch_in_hand_when_partitions_are_revoked_is_dropped(
    running: tuple[RecordingStage, Stream],
) -> None:
    stage, stream = running
    async with stage._turn:  # a checkpoint has its turn, the rebalance queues behind it, then a batch does
        resetting = asyncio.create_task(stage.reset())
        await settle()
        stream.send(7, generation=1)
        await settle()
    await resetting
    await settle()
    assert stage.processed == []


async def test_events_between_revocation_and_assignment_are_dropped(
    running: tuple[RecordingStage, Stream],
) -> None:
    stage, stream = running
    await stage.reset()
    stream.send(8, generation=1)  # still buffered by Faust, and the generation has not moved yet
    await settle()
    assert stage.processed == []
    stage.resume()  # a static member may come back under the same generation
    await settle()
    assert stage.processed == []


async def test_events_of_the_new_assignment_are_processed(running: tuple[RecordingStage, Stream]) -> None:
    stage, stream = running
    stream.send(1, generation=1)
    await asyncio.wait_for(stage.processed_any.wait(), 5.0)
    await stage.reset()
    assert stage.processed == []
    stage.app.consumer_generation_id = 2
    stage.resume()
    stage.processed_any.clear()
    stream.send(0, generation=1)
    stream.send(1, generation=2)
    await asyncio.wait_for(stage.processed_any.wait(), 5.0)
    await settle()
    assert stage.processed == [1]
