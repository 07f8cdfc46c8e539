"""Lets a consumer rest between fetches that a broker answers at once though it has nothing.

A broker should hold a fetch until there is data or `fetch_max_wait_ms` is over. The embedded one does not, and a
consumer without news asks it some 1,700 times a second: a third of a core for the consumer, and more for the broker.
So it rests, shortly when news are likely: markets have a beat, that of their feeds and of their windows.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.protocol.fetch import FetchRequest

from topics.fine_timer import FineTimers

LEAST_S: Final = 0.00025
"""The shortest rest where news are to be expected."""

MOST_S: Final = 0.001
"""A message that comes when none was expected is at most so much late."""

PROMPT_S: Final = 0.0001
"""The shortest rest of a consumer that others wait for."""

_SHARE: Final = 8
_GAPS: Final = 16
_HELD_S: Final = 0.05
"""An empty answer after so long was waited for by the broker itself."""

_BACKLOG_BYTES: Final = 128 * 1024
"""So much at once is a backlog, of which the next answer is fetched while this one is worked on."""

_LONGEST_WORK_S: Final = 0.005


class FetchPacer:
    """How long to rest after each answer: an eighth of the time to when news may be expected; mutates self.

    That is so long after the last ones as one of the last 16 times, or at once after news.

    Parameters
    ----------
    least_s, most_s
        The shortest and the longest rest.
    now_s
        The time at the start.
    """

    def __init__(self, least_s: float, most_s: float, now_s: float) -> None:
        self._least_s = least_s
        self._most_s = most_s
        self._news_s = now_s
        self._gaps_s: deque[float] = deque([0.0], maxlen=_GAPS)

    def rest_s(self, asked_s: float, answered_s: float, *, is_empty: bool) -> float:
        """Return for how long to rest after the answer to a fetch.

        Parameters
        ----------
        asked_s, answered_s
            When the fetch was sent and answered, by one clock.
        """
        silence_s = answered_s - self._news_s
        if not is_empty:
            self._gaps_s.append(silence_s)
            self._news_s = answered_s
            return 0.0
        if answered_s - asked_s >= _HELD_S:
            return 0.0
        away_s = min(abs(gap_s - silence_s) for gap_s in self._gaps_s)
        return min(max(away_s / _SHARE, self._least_s), self._most_s)


class Work:
    """Lets a consumer's thread wait while another one works on the messages; mutates self.

    A thread that wakes meanwhile takes the interpreter from that work, and gives it back after the other core has
    fallen asleep: some 0.1 ms each time. A backlog is the exception, of which more is fetched beside the work.
    """

    def __init__(self) -> None:
        self._ended: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended_here: asyncio.Event | None = None

    def begin(self) -> None:
        """Say that messages have come; called in the consumer's thread."""
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()

    def begin_here(self) -> None:
        """Say that such messages are handed on; called in the thread that works on them."""
        if self._ended is not None:
            self._ended_here = asyncio.Event()

    def done(self) -> None:
        """Say that they are done with; called in the thread that works on them."""
        if self._ended_here is not None:
            self._ended_here.set()
        ended, loop = self._ended, self._loop
        if ended is not None and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(ended.set)

    async def end(self) -> None:
        """Wait for that in the consumer's thread; not for long, for what takes longer waits for the broker itself."""
        ended = self._ended
        await _set_soon(ended)
        if self._ended is ended:
            self._ended = None

    async def end_here(self) -> None:
        """Wait likewise in the thread that works."""
        ended = self._ended_here
        await _set_soon(ended)
        if self._ended_here is ended:
            self._ended_here = None


async def _set_soon(event: asyncio.Event | None) -> None:
    if event is not None:
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), _LONGEST_WORK_S)


def pace_fetches(
    consumer: AIOKafkaConsumer,
    *,
    least_s: float = LEAST_S,
    most_s: float = MOST_S,
    work: Work | None = None,
) -> AIOKafkaConsumer:
    """Make a consumer rest after empty answers that came at once, and return it; call it before its start.

    Other requests, and the order of messages, stay as they are.

    Parameters
    ----------
    least_s, most_s
        The shortest and the longest rest.
    work
        What another thread makes of the messages; nothing is fetched meanwhile. None where nobody tells.
    """
    client = consumer._client
    client.send = _Paced(client.send, FetchPacer(least_s, most_s, time.monotonic()), work)
    return consumer


def answer_bytes(response: Any) -> int:
    """Return how many bytes of records the answer to a fetch brings; an error counts as one."""
    # A partition begins with its number and its error, and ends with its records.
    return sum(
        len(partition[-1] or b"") or int(partition[1] != 0)
        for _, partitions in response.topics
        for partition in partitions
    )


class _Paced:
    def __init__(self, send: Callable[..., Awaitable[Any]], pacer: FetchPacer, work: Work | None) -> None:
        self._send = send
        self._pacer = pacer
        self._work = work
        self._timers = FineTimers()  # brokers are asked side by side

    async def __call__(self, node_id: int, request: Any, **options: Any) -> Any:
        if not isinstance(request, FetchRequest):
            return await self._send(node_id, request, **options)
        if self._work is not None:
            await self._work.end()
        asked_s = time.monotonic()
        response = await self._send(node_id, request, **options)
        n_bytes = answer_bytes(response)
        rest_s = self._pacer.rest_s(asked_s, time.monotonic(), is_empty=not n_bytes)
        if self._work is not None and 0 < n_bytes < _BACKLOG_BYTES:
            self._work.begin()
        if rest_s:
            await self._timers.sleep(rest_s)
        return response
