"""The windows stage: what it sends, when it acknowledges, and what a rebalance does to an open window."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import faust
import numpy as np

from pipeline.agents.handover import Handover
from pipeline.agents.windowing import WindowsStage
from pipeline.config import load_config
from topics.envelope import Envelope
from topics.messages import tick_message
from topics.runs import TickRun, WindowRun
from topics.tick_builders import trades
from topics.types import Int64Array
from topics.windows_codec import decode_windows

SECOND_NS = 1_000_000_000


class Topic:
    """Takes what a stage sends, acknowledged at once."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    async def send(self, **message: Any) -> Any:
        self.sent.append(message)
        metadata = SimpleNamespace(offset=len(self.sent) - 1)

        async def acknowledged() -> Any:
            return metadata

        return acknowledged()


class NextStage:
    """Takes what a stage hands over."""

    def __init__(self) -> None:
        self.taken: list[Handover[WindowRun]] = []

    async def take_early(self, handover: Handover[WindowRun]) -> None:
        self.taken.append(handover)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """What each handover goes on from, and where it ends."""
        return [(handover.after_ns, handover.run.frontier_ns) for handover in self.taken]


def tick_events(n_messages: int) -> list[Any]:
    """Return events of one partition: a trade every quarter of a second, one a message."""
    return events_at(np.arange(n_messages) * (SECOND_NS // 4) + SECOND_NS)


def events_at(ts_event: Int64Array, first_offset: int = 0) -> list[Any]:
    """Return events of one partition: a trade at each time, one a message."""
    ticks = trades(instrument_id=4, ts_event=ts_event, price=np.arange(len(ts_event)) + 10**9, size=1)
    events = []
    for offset in range(len(ts_event)):
        run = TickRun(ticks.schema, ticks.records[offset : offset + 1])
        message = tick_message(run, run_id="r", mode="live", seq=offset, partition=0)
        events.append(_Event(first_offset + offset, message.value, message.headers))
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


def stage_and_topics(successor: NextStage | None = None) -> tuple[WindowsStage, Topic, Topic]:
    windows, dead_letters = Topic(), Topic()
    stage = WindowsStage(
        faust.App("windows-test"),
        load_config(window_size_ns="1s", universe="u"),
        NothingCommitted(),
        windows_topic=windows,  # type: ignore[arg-type]  # the one method that a stage calls
        dead_letters_topic=dead_letters,  # type: ignore[arg-type]
        successor=successor,
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


async def test_closed_windows_are_handed_over_but_for_the_first_after_a_start() -> None:
    next_stage = NextStage()
    stage, windows, _ = stage_and_topics(next_stage)
    events = tick_events(17)
    await stage.process(0, events[:5])  # whoever had the partition before may have closed others
    assert counts(windows) == {2 * SECOND_NS: 4}
    assert next_stage.spans == []
    for event in events[5:9]:
        await stage.process(0, [event])
    await stage.process(0, events[9:13])
    assert next_stage.spans == [(2 * SECOND_NS, 3 * SECOND_NS), (3 * SECOND_NS, 4 * SECOND_NS)]
    await stage.reset()
    await stage.process(0, events[12:])
    assert len(next_stage.taken) == 2
    assert counts(windows) == {second * SECOND_NS: 4 for second in range(2, 6)}  # all are sent as well
    for handover in next_stage.taken:
        assert [int(row["n_ticks"]) for row in handover.run.rows] == [4]
        assert (handover.envelope.run_id, handover.envelope.mode) == ("r", "live")


async def test_a_window_is_handed_over_before_it_is_sent() -> None:
    class Watching(NextStage):
        async def take_early(self, handover: Handover[WindowRun]) -> None:
            await super().take_early(handover)
            assert handover.run.frontier_ns not in counts(windows)

    next_stage = Watching()
    stage, windows, _ = stage_and_topics(next_stage)
    for event in tick_events(13):
        await stage.process(0, [event])
    assert next_stage.spans[-1] == (3 * SECOND_NS, 4 * SECOND_NS)
    assert 4 * SECOND_NS in counts(windows)


async def test_a_backlog_is_left_to_the_topic_and_the_next_window_goes_on_from_it() -> None:
    next_stage = NextStage()
    stage, windows, _ = stage_and_topics(next_stage)
    events = tick_events(21)
    await stage.process(0, events[:5])
    await stage.process(0, events[5:13])
    assert counts(windows) == {second * SECOND_NS: 4 for second in (2, 3, 4)}
    assert next_stage.spans == []
    await stage.process(0, events[13:17])
    assert next_stage.spans == [(4 * SECOND_NS, 5 * SECOND_NS)]


async def test_idle_windows_are_left_to_the_topic_and_the_next_window_goes_on_from_them() -> None:
    next_stage = NextStage()
    stage, windows, _ = stage_and_topics(next_stage)
    stage.app = SimpleNamespace(producer=SimpleNamespace(started=True))  # type: ignore[assignment]
    await stage.process(0, tick_events(5))
    idle_ns = load_config().idle_after_ns
    now_ns = time.time_ns() + idle_ns
    await stage.close_idle(now_ns)
    assert counts(windows) == {2 * SECOND_NS: 4, 3 * SECOND_NS: 1}
    assert next_stage.spans == []
    frontier_ns = (now_ns - idle_ns) // SECOND_NS * SECOND_NS
    for event in events_at(np.array([frontier_ns, frontier_ns + SECOND_NS]), first_offset=5):
        await stage.process(0, [event])
    assert next_stage.spans == [(frontier_ns, frontier_ns + SECOND_NS)]
