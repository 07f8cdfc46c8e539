"""Lets a consumer rest between fetches that a broker answers at once though it has nothing.

A broker should hold a fetch until there is data or `fetch_max_wait_ms` is over. The embedded one does not, and a
consumer without news asks it some 1,700 times a second: a third of a core for the consumer, and more for the broker.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.protocol.fetch import FetchRequest

LEAST_S: Final = 0.00025
MOST_S: Final = 0.001
"""A message that comes after a long silence is at most so much late."""

_SHARE: Final = 8
_HELD_S: Final = 0.05
"""An empty answer after so long was waited for by the broker itself."""


@dataclass
class FetchPacer:
    """How long to rest after each answer: an eighth of the silence so far, within bounds; mutates self.

    Parameters
    ----------
    most_s
        The longest rest.
    now_s
        The time at the start.
    """

    most_s: float
    now_s: float

    def rest_s(self, asked_s: float, answered_s: float, *, is_empty: bool) -> float:
        """Return for how long to rest after the answer to a fetch.

        Parameters
        ----------
        asked_s, answered_s
            When the fetch was sent and answered, by one clock.
        """
        if not is_empty or answered_s - asked_s >= _HELD_S:
            self.now_s = answered_s
            return 0.0
        return min(max((answered_s - self.now_s) / _SHARE, LEAST_S), self.most_s)


def pace_fetches(consumer: AIOKafkaConsumer, *, most_s: float = MOST_S) -> AIOKafkaConsumer:
    """Make a consumer rest after empty answers that came at once, and return it; call it before its start.

    Other requests, and the order of messages, stay as they are.
    """
    client = consumer._client
    client.send = _paced(client.send, FetchPacer(most_s, time.monotonic()))
    return consumer


def is_empty(response: Any) -> bool:
    """Return whether the answer to a fetch brings neither records nor an error."""
    # A partition begins with its number and its error, and ends with its records.
    return not any(
        partition[1] or partition[-1] for _, partitions in response.topics for partition in partitions
    )


def _paced(send: Callable[..., Awaitable[Any]], pacer: FetchPacer) -> Callable[..., Awaitable[Any]]:
    async def paced(node_id: int, request: Any, **options: Any) -> Any:
        if not isinstance(request, FetchRequest):
            return await send(node_id, request, **options)
        asked_s = time.monotonic()
        response = await send(node_id, request, **options)
        rest_s = pacer.rest_s(asked_s, time.monotonic(), is_empty=is_empty(response))
        if rest_s:
            await asyncio.sleep(rest_s)
        return response

    return paced
