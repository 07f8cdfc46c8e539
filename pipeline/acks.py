"""When a tick message may be acknowledged.

A message is acknowledged once every window that it touches is closed, produced and acknowledged by the
broker, in order of offsets: a restart then re-reads all the ticks of every window that was still open.
"""

from __future__ import annotations

from collections import deque


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
