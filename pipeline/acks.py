"""When a tick message may be acknowledged, and what the offsets of a partition tell.

A message is acknowledged once every window that it touches is closed, produced and acknowledged by the
broker, in order of offsets: a restart then re-reads all the ticks of every window that was still open.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from pipeline.errors import OffsetOrderError


class AckLedger:
    """Messages of one partition that wait for their windows, in order of offsets; mutates self."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, int]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, offset: int, last_close_touched_ns: int) -> None:
        """Take a message.

        Parameters
        ----------
        offset
            Its offset, larger than all before.
        last_close_touched_ns
            From `FoldResult`; 0 for a message that touches no window.

        Raises
        ------
        ValueError
            The offset is not larger: the partition was rewound, start a new ledger.
        """
        if self._waiting and offset <= self._waiting[-1][0]:
            raise ValueError(
                f"`offset` (={offset}) must be larger than the last one (={self._waiting[-1][0]})"
            )
        self._waiting.append((offset, last_close_touched_ns))

    def ready(self, frontier_ns: int) -> list[int]:
        """Hand over, oldest first, the offsets to acknowledge, up to the first that has to wait.

        Parameters
        ----------
        frontier_ns
            Every window with ts_close <= frontier_ns was acknowledged by the broker.
        """
        offsets = []
        while self._waiting and self._waiting[0][1] <= frontier_ns:
            offsets.append(self._waiting.popleft()[0])
        return offsets


@dataclass(frozen=True, slots=True)
class OffsetStep:
    """What one offset tells about its partition.

    Attributes
    ----------
    repeated
        The message was taken before: drop it. Kafka clients deliver again without a rebalance, too.
    lost
        Offsets that were skipped: the broker no longer has them (retention), or never will show them.
    """

    repeated: bool
    lost: int


class OffsetTracker:
    """Watches the offsets of one partition during one assignment; mutates self."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._skipped: list[range] = []

    def observe(self, offset: int) -> OffsetStep:
        """Take the offset of the message at hand.

        Raises
        ------
        OffsetOrderError
            The offset was skipped before, so windows may have been closed without it.
        """
        expected = offset if self._next is None else self._next
        if offset < expected:
            if any(offset in skipped for skipped in self._skipped):
                raise OffsetOrderError(
                    f"offset {offset} comes after {expected - 1}, which had skipped it: messages of a partition"
                    " must come in order; restart the worker, and report it with its log"
                )
            return OffsetStep(repeated=True, lost=0)
        self._next = offset + 1
        if offset > expected:
            self._skipped.append(range(expected, offset))
        return OffsetStep(repeated=False, lost=offset - expected)
