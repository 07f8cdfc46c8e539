"""Prepare the next item in a thread while the event loop sends this one; the items and their order stay the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

ItemT = TypeVar("ItemT")


async def prefetched(step: Callable[[], ItemT | None]) -> AsyncGenerator[ItemT]:
    """Yield what `step` returns until it returns None, always one step ahead, in one thread.

    Close it (`contextlib.aclosing`) where it may be left early: the step that runs is waited for.

    Parameters
    ----------
    step
        Called by one thread at a time; what it raises comes out here, after the items before it.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        following = loop.run_in_executor(pool, step)
        try:
            while (item := await following) is not None:
                following = loop.run_in_executor(pool, step)
                yield item
        finally:
            if not following.done():
                await asyncio.wait([following])
            elif not following.cancelled():
                following.exception()  # seen: what ended the iteration was something else
