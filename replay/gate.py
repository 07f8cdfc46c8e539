"""What may hold a replay back at a time in the data, until something downstream has caught up with it."""

from __future__ import annotations

from typing import Protocol

from topics.types import Int64Array


class Gate(Protocol):
    """Says how far a replay may go; asked again after every wait."""

    def released(self, ts_event: Int64Array) -> int:
        """Return how many of the next ticks, from the first, may be sent now.

        Parameters
        ----------
        ts_event
            (n >= 1,) ns, in the order in which they are going to be sent; heartbeats are among them.
        """

    def may_end(self) -> bool:
        """Return whether the end of the replay, which closes every window, may be sent."""

    async def wait(self) -> None:
        """Return when it is worth asking again."""
