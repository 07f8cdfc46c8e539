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

    def __init__(self, *, holes: frozenset[int] = frozenset()) -> None:
        self._holes = holes

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
    return OrderedDelivery(SimpleNamespace(consumer=consumer), log, on_error=errors.append)  # type: ignore[arg-type]


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
