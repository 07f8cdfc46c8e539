"""What a consumer owes a stage: every message of a partition once, in order, from the committed offset on.

Faust 0.15.3 breaks this after a rebalance: its fetcher runs during recovery, and messages that arrive between the
seek to the committed offset and the resumption of the flow are thrown away with the queue. It also repeats messages.
"""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What to do with a message: take it, drop it, or look why it skips others."""

    TAKE = "take"
    DROP = "drop"
    LOOK = "look"


class DeliveryGate:
    """Watches the offsets of one partition during one assignment; mutates self.

    Parameters
    ----------
    expected
        Offset of the first message to take: the group's committed one.
    """

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._is_rewinding = False

    @property
    def expected(self) -> int:
        """Offset of the next message to take; where to rewind to."""
        return self._expected

    def observe(self, offset: int) -> Verdict:
        """Judge the message at hand: a repetition is dropped, and while rewinding all that lies beyond."""
        if offset < self._expected:
            return Verdict.DROP
        if offset == self._expected:
            self._expected = offset + 1
            return Verdict.TAKE
        return Verdict.DROP if self._is_rewinding else Verdict.LOOK

    def resolve(self, offset: int, first_there: int) -> bool:
        """Settle a message that skips others, knowing the first offset that the broker holds from `expected` on.

        Returns
        -------
        True to take the message, since nothing lies between; False to rewind to `expected`.
        """
        self._expected = first_there
        if offset == first_there:
            self._expected = offset + 1
            return True
        self._is_rewinding = True
        return False

    def rewound(self) -> None:
        """Note that the consumer was set back to `expected`."""
        self._is_rewinding = False
