"""A keyboard that leads: a line a step, its end stops, and a stop ends the wait for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cs3g.stepping import StepKeys
from tests.unit.replay.factories import T0
from topics.types import NANOS_PER_SECOND as S


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:  # a test has closed it
            continue


async def test_a_line_is_a_step_and_the_end_stops(pipe: tuple[int, int]) -> None:
    said: list[str] = []
    stop = asyncio.Event()
    keys = StepKeys(250_000_000, pipe[0], said.append, stop)
    os.write(pipe[1], b"\nanything\n")
    assert [await keys.ask(T0), await keys.ask(T0 + S)] == [True, True]
    assert said[0] == "up to 2013-10-07 13:30:00 UTC: Enter for the next 250ms, Ctrl-D to stop"
    waits = asyncio.create_task(keys.ask(T0 + 2 * S))
    while len(said) < 3:
        await asyncio.sleep(0)
    assert not waits.done()
    os.write(pipe[1], b"\n")
    assert await waits
    os.close(pipe[1])
    assert not await keys.ask(T0 + 3 * S)
    assert stop.is_set()
    assert not await keys.ask(T0 + 4 * S)
    assert len(said) == 4  # nobody is asked any more


async def test_a_stop_ends_the_wait(pipe: tuple[int, int]) -> None:
    stop = asyncio.Event()
    waits = asyncio.create_task(StepKeys(S, pipe[0], lambda _: None, stop).ask(T0))
    asyncio.get_running_loop().call_soon(stop.set)
    assert not await waits


async def test_lines_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("\n\n")
    with path.open("rb") as file:
        keys = StepKeys(S, file.fileno(), lambda _: None, asyncio.Event())
        assert [await keys.ask(T0) for _ in range(3)] == [True, True, False]
