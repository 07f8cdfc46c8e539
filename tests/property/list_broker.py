"""A broker of lists that lets its worker die at any message, and what was published on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from pipeline.agents.changelog import Entries
from topics.envelope import Message
from topics.runs import PredictionRun


class Killed(Exception):
    """The worker's process is no more."""


class DyingBroker:
    """Takes so many messages more and then kills who sends: `steps_left`, None for ever."""

    steps_left: int | None = None
    is_late: bool = False

    async def take(self, log: list[Any], item: Any) -> None:
        if self.steps_left == 0:
            if self.is_late:  # the broker had it, the worker never learned of that
                log.append(item)
            raise Killed
        if self.steps_left is not None:
            self.steps_left -= 1
        log.append(item)


class Topic:
    def __init__(self, broker: DyingBroker, log: list[Message]) -> None:
        self._broker, self._log = broker, log

    async def send(self, *, key: bytes, value: bytes, headers: Any, **_: Any) -> Any:
        await self._broker.take(self._log, Message(key, value, headers))
        sent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        sent.set_result(SimpleNamespace(offset=len(self._log) - 1))
        return sent


class BrokersChangelog:
    name = "changelog"

    def __init__(self, broker: DyingBroker, log: list[tuple[bytes, bytes]]) -> None:
        self._broker, self._log = broker, log

    async def read(self, partition: int, is_enough: Callable[[Entries], bool]) -> Entries:
        return dict(self._log)

    async def write(self, partition: int, entries: Sequence[tuple[bytes, bytes]]) -> None:
        for entry in entries:
            await self._broker.take(self._log, entry)


def published(runs: list[PredictionRun]) -> dict[int, set[tuple[Any, ...]]]:
    """Everything that was published of a window, by its end."""
    found: dict[int, set[tuple[Any, ...]]] = {}
    for run in runs:
        for t, end in enumerate(run.ts_close.tolist()):
            present = run.mask[t]
            content = (
                run.model_id[0],
                run.seq + t,
                bool(run.warmup[t]),
                run.instrument_ids[present].tobytes(),
                run.scores[t, present].tobytes(),
                run.ranks[t, present].tobytes(),
            )
            found.setdefault(end, set()).add(content)
    return found
