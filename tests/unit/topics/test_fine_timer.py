"""Sleeps that are shorter than an event loop's own timers."""

from __future__ import annotations

import asyncio
import gc
import sys
import time

import pytest

from topics.fine_timer import FineTimer, FineTimers


async def test_sleeps_at_least_so_long_again_and_again() -> None:
    timer = FineTimer()
    for seconds in (0.0, 1e-9, 0.0003, 0.003, 1.05, 0.0001):
        started = time.monotonic()
        await timer.sleep(seconds)
        assert time.monotonic() - started >= seconds


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is as coarse as the event loop")
async def test_some_sleep_is_shorter_than_a_millisecond() -> None:
    timer, shortest = FineTimer(), 1.0
    for _ in range(200):  # a busy machine wakes late, but not each time
        started = time.monotonic()
        await timer.sleep(0.0001)
        shortest = min(shortest, time.monotonic() - started)
    assert shortest < 0.001


async def test_a_cancelled_sleep_does_not_end_the_next_one() -> None:
    timer = FineTimer()
    sleeping = asyncio.create_task(timer.sleep(0.01))
    await asyncio.sleep(0)
    sleeping.cancel()
    await asyncio.gather(sleeping, return_exceptions=True)
    started = time.monotonic()
    await timer.sleep(0.1)
    assert time.monotonic() - started >= 0.1


async def test_sleeping_leaves_no_garbage_for_the_collector() -> None:
    timer = FineTimer()
    await timer.sleep(0.0001)
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            await timer.sleep(0.0001)
        assert gc.collect() < 50
    finally:
        gc.enable()


async def test_many_sleep_at_a_time() -> None:
    timers, started = FineTimers(), time.monotonic()

    async def slept(seconds: float) -> float:
        await timers.sleep(seconds)
        return time.monotonic() - started

    asked = [0.05, 0.0, 0.002, 0.02, 0.002]
    assert all(
        actual >= wanted
        for actual, wanted in zip(await asyncio.gather(*map(slept, asked)), asked, strict=True)
    )
