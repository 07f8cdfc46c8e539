"""A replay that somebody leads through event time step by step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np

from replay.errors import ConfigError
from topics.types import BoolArray, Int64Array


class StepGate:
    """A `replay.gate.Gate` that lets one interval of event time pass at a time. Mutates self.

    Intervals count from the UNIX epoch, as windows do. The heartbeat that ends an interval passes with it, so
    that its windows can close. Intervals in which nothing happens are stepped over.

    Parameters
    ----------
    step_ns
        Length of an interval (> 0).
    ask
        Called with the event time in ns before which everything was sent; returns once it is known whether the
        next step may follow. If it may not, somebody has set the replay's stop.

    Raises
    ------
    ConfigError
        A length that is not > 0.
    """

    def __init__(self, step_ns: int, ask: Callable[[int], Awaitable[bool]]) -> None:
        if step_ns <= 0:
            raise ConfigError(f"the step (={step_ns} ns) must be > 0")
        self._step_ns = step_ns
        self._ask = ask
        self._limit_ns: int | None = None
        self._next_ns = 0

    def released(self, ts_event: Int64Array, is_tick: BoolArray) -> int:
        """Return how many of the next records end before the interval does."""
        if self._limit_ns is None:
            self._limit_ns = self._end_of(int(ts_event[0]))
        beyond = np.flatnonzero(
            ts_event + is_tick > self._limit_ns
        )  # a tick of the end itself is of the next one
        if not len(beyond):
            return len(ts_event)
        self._next_ns = int(ts_event[beyond[0]])
        return int(beyond[0])

    def may_end(self) -> bool:
        """Return True: after the last step nothing is left to wait for."""
        return True

    async def wait(self) -> None:
        """Wait for the next step."""
        assert self._limit_ns is not None  # noqa: S101  # asked for only after something was held back
        if await self._ask(self._limit_ns):
            self._limit_ns = max(self._end_of(self._next_ns), self._limit_ns)

    def _end_of(self, ts_ns: int) -> int:
        return (ts_ns // self._step_ns + 1) * self._step_ns
