"""A replay that is led: each step sends one interval, and no tick more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from replay.batching import SentTail
from replay.config import ReplayConfig
from replay.errors import ConfigError
from replay.report import ReplayReport
from replay.runner import run_replay
from replay.sinks import MemorySink
from replay.stepping import StepGate
from tests.unit.replay.factories import T0, memory_source, trades
from topics.control import Instrument
from topics.envelope import Envelope
from topics.ticks import decode_ticks, is_heartbeat
from topics.types import NANOS_PER_SECOND as S

TIMES = np.array([0, 2, 9, 10, 11, 47, 48, 50]) * (S // 10)
"""In seconds 0, 1, 4 and 5; two intervals are empty."""


def sent(sink: MemorySink) -> list[tuple[str, float]]:
    """Return what was sent, ticks as t and heartbeats as h, with seconds after T0."""
    found = []
    for message in sink.messages[0]:
        envelope = Envelope.from_headers(message.headers)
        if envelope.schema != "trades":
            found.append(("end", 0.0))
            continue
        records = decode_ticks(message.value, envelope).records
        kinds = np.where(is_heartbeat(records), "h", "t")
        seconds = (records["ts_event"].astype(np.int64) - T0) / S
        found += list(zip(kinds.tolist(), seconds.tolist(), strict=True))
    return found


async def led(*, steps: int | None = None) -> tuple[ReplayReport, MemorySink, list[tuple[int, int]]]:
    """Lead a replay by so many steps; also return how much was sent at which question."""
    sink, stop = MemorySink(), asyncio.Event()
    asked: list[tuple[int, int]] = []

    async def ask(until_ns: int) -> bool:
        asked.append(((until_ns - T0) // S, len(sent(sink))))
        if steps is not None and len(asked) > steps:
            stop.set()
        return not stop.is_set()

    config = ReplayConfig(run_id="r", partitions=1)
    report = await run_replay(
        config, [memory_source(trades(TIMES), rows=3)], sink, gate=StepGate(S, ask), stop=stop
    )
    return report, sink, asked


async def test_each_step_sends_an_interval_and_the_heartbeat_that_ends_it() -> None:
    report, sink, asked = await led()
    # Up to second 1: three ticks and the heartbeat; then over the empty seconds in one step.
    assert asked == [(1, 4), (2, 6), (5, 10)]
    assert report.is_complete
    everything = sent(sink)
    assert everything[:4] == [("t", 0.0), ("t", 0.2), ("t", 0.9), ("h", 1.0)]
    assert everything[4:6] == [("t", 1.0), ("t", 1.1)]
    assert everything[6:10] == [("h", 4.0), ("t", 4.7), ("t", 4.8), ("h", 5.0)]
    assert everything[10:] == [("t", 5.0), ("end", 0.0)]


async def test_a_led_replay_sends_what_another_one_sends() -> None:
    report, sink, _ = await led()
    plain = MemorySink()
    other = await run_replay(ReplayConfig(run_id="r", partitions=1), [memory_source(trades(TIMES))], plain)
    assert (report.digest, report.ticks, report.heartbeats) == (other.digest, other.ticks, other.heartbeats)
    assert sent(sink) == sent(plain)


async def test_who_stops_gets_no_further_tick() -> None:
    report, sink, asked = await led(steps=1)
    assert [until for until, _ in asked] == [1, 2]
    assert (report.is_complete, report.ticks) == (False, 5)
    assert sent(sink)[-1] == ("t", 1.1)


async def test_a_resumed_one_asks_for_nothing_that_was_sent() -> None:
    _, before, _ = await led(steps=1)  # five ticks and a heartbeat, in two messages
    tail = decode_ticks(before.messages[0][-1].value, Envelope.from_headers(before.messages[0][-1].headers))

    class Resumed(MemorySink):
        async def start(self, instruments: Sequence[Instrument], run_id: str) -> Mapping[int, SentTail]:
            return {0: SentTail(6 - len(tail.records), tail.records)}

    asked: list[int] = []

    async def ask(until_ns: int) -> bool:
        asked.append((until_ns - T0) // S)
        return True

    sink = Resumed()
    config = ReplayConfig(run_id="r", partitions=1, batch_ticks=2)
    report = await run_replay(config, [memory_source(trades(TIMES))], sink, gate=StepGate(S, ask))
    assert (report.is_complete, report.already_sent) == (True, 6)
    assert asked == [5]
    assert sent(before) + sent(sink) == sent((await led())[1])


def test_a_step_has_a_length() -> None:
    async def ask(_: int) -> bool:
        return True

    with pytest.raises(ConfigError, match="must be > 0"):
        StepGate(0, ask)
