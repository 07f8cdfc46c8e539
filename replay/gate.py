"""What may hold a replay back at a time in the data, until something downstream has caught up with it."""

from __future__ import annotations

from typing import Protocol

from topics.types import BoolArray, Int64Array


class Gate(Protocol):
    """Says how far a replay may go; asked again after every wait."""

    def released(self, ts_event: Int64Array, is_tick: BoolArray) -> int:
        """Return how many of the next records, from the first, may be sent now.

        Parameters
        ----------
        ts_event
            (n >= 1,) ns, in the order in which they are going to be sent.
        is_tick
            (n,) False for heartbeats.
        """

    def may_end(self) -> bool:
        """Return whether the end of the replay, which closes every window, may be sent."""

    async def wait(self) -> None:
        """Return when it is worth asking again."""
