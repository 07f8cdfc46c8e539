"""The windows stage: what it sends, when it acknowledges, and what a rebalance does to an open window."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import faust
import numpy as np

from pipeline.agents.windowing import WindowsStage
from pipeline.config import load_config
from topics.envelope import Envelope
from topics.messages import tick_message
from topics.runs import TickRun
from topics.tick_builders import trades
from topics.windows_codec import decode_windows

SECOND_NS = 1_000_000_000


class Topic:
    """Takes what a stage sends, acknowledged at once."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    async def send(self, **message: Any) -> Any:
        self.sent.append(message)

        async def acknowledged() -> None:
            return None

        return acknowledged()


def tick_events(n_messages: int) -> list[Any]:
    """Return events of one partition: a trade every quarter of a second, one a message."""
    ticks = trades(
        instrument_id=4,
        ts_event=np.arange(n_messages) * (SECOND_NS // 4) + SECOND_NS,
        price=np.arange(n_messages) + 10**9,
        size=1,
    )
    events = []
    for offset in range(n_messages):
        run = TickRun(ticks.schema, ticks.records[offset : offset + 1])
        message = tick_message(run, run_id="r", mode="live", seq=offset, partition=0)
        events.append(_Event(offset, message.value, message.headers))
    return events


class _Event:
    def __init__(self, offset: int, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        self.message = SimpleNamespace(
            topic="ticks", partition=0, offset=offset, value=value, headers=headers
        )
        self.n_acks = 0

    def ack(self) -> None:
        self.n_acks += 1


class NothingCommitted:
    """A topic that no group has consumed yet, without holes."""

    @property
    def topic(self) -> str:
        return "source"

    async def unread(self) -> set[int]:
        return set()

    async def committed(self) -> dict[int, int]:
        return {0: 0}

    async def first_from(self, partition: int, offset: int) -> int:
        return offset


def stage_and_topics() -> tuple[WindowsStage, Topic, Topic]:
    windows, dead_letters = Topic(), Topic()
    stage = WindowsStage(
        faust.App("windows-test"),
        load_config(window_size_ns="1s", universe="u"),
        NothingCommitted(),
        windows_topic=windows,  # type: ignore[arg-type]  # the one method that a stage calls
        dead_letters_topic=dead_letters,  # type: ignore[arg-type]
    )
    return stage, windows, dead_letters


def counts(topic: Topic) -> dict[int, int]:
    """Return the ticks of each window that was sent, by its end."""
    runs = [decode_windows(m["value"], Envelope.from_headers(m["headers"])) for m in topic.sent]
    return {int(row["ts_close"]): int(row["n_ticks"]) for run in runs for row in run.rows}


async def test_messages_are_acknowledged_once_their_windows_are_sent() -> None:
    stage, windows, _ = stage_and_topics()
    events = tick_events(6)
    await stage.process(0, events[:4])
    assert counts(windows) == {}
    assert [event.n_acks for event in events] == [0] * 6
    await stage.process(0, events[4:])
    assert counts(windows) == {2 * SECOND_NS: 4}
    assert [event.n_acks for event in events] == [1, 1, 1, 1, 0, 0]


async def test_after_a_rebalance_the_unacknowledged_messages_give_the_open_window_again() -> None:
    stage, windows, _ = stage_and_topics()
    events = tick_events(9)
    await stage.process(0, events[:6])
    await stage.reset()
    await stage.process(0, events[4:])
    assert counts(windows) == {2 * SECOND_NS: 4, 3 * SECOND_NS: 4}
