"""Prefetching keeps items, order and errors, runs one step at a time, and ends with its thread."""

from __future__ import annotations

import threading
from contextlib import aclosing

import pytest

from replay.prefetch import prefetched


def steps(n: int, error_at: int | None = None):
    items = iter(range(n))
    calls: list[int] = []
    busy = threading.Lock()

    def step() -> int | None:
        assert busy.acquire(blocking=False)
        try:
            item = next(items, None)
            calls.append(-1 if item is None else item)
            if item is not None and item == error_at:
                raise ValueError("damaged")
            return item
        finally:
            busy.release()

    return step, calls


async def test_items_come_in_order() -> None:
    step, calls = steps(50)
    assert [item async for item in prefetched(step)] == list(range(50))
    assert calls == [*range(50), -1]


async def test_an_error_comes_after_the_items_before_it() -> None:
    step, _ = steps(10, error_at=3)
    found: list[int] = []

    async def read() -> None:
        async for item in prefetched(step):
            found.append(item)  # what came before the error counts

    with pytest.raises(ValueError, match="damaged"):
        await read()
    assert found == [0, 1, 2]


@pytest.mark.parametrize("error_at", [None, 3])
async def test_leaving_early_waits_for_the_step_that_runs(error_at: int | None) -> None:
    step, calls = steps(10, error_at=error_at)
    async with aclosing(prefetched(step)) as items:
        async for item in items:
            if item == 2:
                break
    assert calls == [0, 1, 2, 3]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]
