"""Setting a consumer back: paused first, so that nothing under way moves its place on, and only once at a time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from pipeline.agents import delivery
from pipeline.agents.delivery import OrderedDelivery

PLACE = TP("windows", 0)


class Consumer:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.resumed = asyncio.Event()

    def assignment(self) -> set[TP]:
        return {PLACE, TP("changelog", 0)}

    def pause_partitions(self, tps: set[TP]) -> None:
        assert all(type(tp) is TP for tp in tps)
        self.calls.append(("pause", *tps))

    async def seek_wait(self, offsets: dict[TP, int]) -> None:
        self.calls += [("seek", tp, offset) for tp, offset in offsets.items()]

    def resume_partitions(self, tps: set[TP]) -> None:
        self.calls.append(("resume", *tps))
        self.resumed.set()


class Log:
    """A partition that holds every offset but some; the group stands at 270."""

    topic = "windows"

    def __init__(self, *, holes: frozenset[int] = frozenset(), end: int = 280) -> None:
        self._holes = holes
        self._end = end

    async def unread(self) -> set[int]:
        return {0} if self._end > 270 else set()

    async def committed(self) -> dict[int, int]:
        return {0: 270}

    async def first_from(self, partition: int, offset: int) -> int:
        return next(there for there in range(offset, offset + 100) if there not in self._holes)


def events(*offsets: int) -> list[Any]:
    place = ("windows", 0)  # as the client gives it: not a TP
    return [
        SimpleNamespace(message=SimpleNamespace(tp=place, topic="windows", partition=0, offset=n))
        for n in offsets
    ]


def offsets_of(admitted: list[Any]) -> list[int]:
    return [event.message.offset for event in admitted]


def ordered(consumer: Consumer, log: Log, errors: list[Any]) -> OrderedDelivery:
    return OrderedDelivery(SimpleNamespace(consumer=consumer, rebalancing=False), log, on_error=errors.append)  # type: ignore[arg-type]


async def test_skipped_messages_are_read_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(delivery, "SETTLE_S", 0.0)
    consumer, errors = Consumer(), []
    gate = ordered(consumer, Log(), errors)
    assert offsets_of(await gate.admit(events(271, 272, 273))) == []
    await asyncio.wait_for(consumer.resumed.wait(), 5.0)
    assert consumer.calls == [("pause", PLACE), ("seek", PLACE, 270), ("resume", PLACE)]
    assert offsets_of(await gate.admit(events(270, 271, 271, 272))) == [270, 271, 272]
    assert all(task.exception() is None for task in errors)


async def test_messages_that_are_not_there_are_not_waited_for() -> None:
    consumer = Consumer()
    gate = ordered(consumer, Log(holes=frozenset({270, 271})), [])
    assert offsets_of(await gate.admit(events(272, 273))) == [272, 273]
    assert consumer.calls == []


async def test_a_revocation_ends_a_rewind() -> None:
    consumer = Consumer()
    gate = ordered(consumer, Log(), [])
    await gate.admit(events(271))
    await asyncio.sleep(0)
    gate.forget()
    await asyncio.sleep(0)
    assert consumer.calls == [("pause", PLACE)]


async def test_messages_that_nothing_follows_are_read_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(delivery, "SETTLE_S", 0.0)
    consumer, errors = Consumer(), []
    gate = ordered(consumer, Log(), errors)
    await gate.rouse()
    assert consumer.calls == []  # they may be on their way
    await gate.rouse()
    await asyncio.wait_for(consumer.resumed.wait(), 5.0)
    assert consumer.calls == [("pause", PLACE), ("seek", PLACE, 270), ("resume", PLACE)]
    # What was under way after all counts once.
    assert offsets_of(await gate.admit(events(270, 271, 270, 271, 272))) == [270, 271, 272]
    for _ in range(3):
        await gate.rouse()
    assert len(consumer.calls) == 3
    assert all(task.exception() is None for task in errors)


async def test_nobody_is_roused_who_has_heard_or_has_nothing_to_read() -> None:
    consumer = Consumer()
    heard = ordered(consumer, Log(), [])
    await heard.admit(events(270))
    empty = ordered(consumer, Log(end=270), [])
    for _ in range(3):
        await heard.rouse()
        await empty.rouse()
    assert consumer.calls == []


async def test_a_new_assignment_is_listened_to_anew(monkeypatch: Any) -> None:
    monkeypatch.setattr(delivery, "SETTLE_S", 0.0)
    consumer = Consumer()
    gate = ordered(consumer, Log(), [])
    await gate.admit(events(270))
    await gate.rouse()
    gate.forget()
    await gate.rouse()
    assert consumer.calls == []
    await gate.rouse()
    await asyncio.wait_for(consumer.resumed.wait(), 5.0)
