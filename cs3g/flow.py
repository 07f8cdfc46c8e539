"""Back-pressure of a replay whose predictions this process reads: never further ahead than the broker may hold.

The embedded broker keeps a bounded tail of each topic, so what is sent and not yet predicted must fit it at every
stage. Only windows that can already close count against the budget; one open window may be of any size.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.batching import SentTail, TickBatch
from replay.sinks import Sink
from topics.control import EndOfReplay, Instrument

MAX_CELLS_IN_FLIGHT: Final = 120_000
"""Ticks plus windows x instruments; of daily bars half each: 8 MB of snapshots, well within what is retained."""

MAX_SENT_TIMES: Final = 200_000


class InFlight:
    """What was sent and is not predicted yet; mutates self.

    Parameters
    ----------
    size_ns
        Length of a window.
    partitions
        Number of tick partitions: a window can close only once all of them have passed it.
    lateness_ns
        How far a partition's watermark trails what was sent to it.
    limit_cells
        Ticks plus windows x instruments that may be in flight.
    """

    def __init__(
        self,
        size_ns: int,
        partitions: int,
        *,
        lateness_ns: int = 0,
        limit_cells: int = MAX_CELLS_IN_FLIGHT,
    ) -> None:
        self.n_instruments = 1
        self._size_ns = size_ns
        self._lateness_ns = lateness_ns
        self._partitions = partitions
        self._limit_cells = limit_cells
        self._batches: deque[tuple[int, int]] = deque()
        self._sent_to_ns: dict[int, int] = {}
        self._last_window = -1
        self._predicted_ns = 0

    def sent(self, partition: int, ts_event: NDArray[np.uint64]) -> None:
        """Note the event times (ns) of a batch of one partition."""
        windows = np.unique(ts_event.astype(np.int64) // self._size_ns)
        n_new = int(np.count_nonzero(windows > self._last_window))
        last = int(windows[-1])
        self._last_window = max(self._last_window, last)
        self._sent_to_ns[partition] = max(self._sent_to_ns.get(partition, 0), int(ts_event.max()))
        self._batches.append(((last + 1) * self._size_ns, len(ts_event) + n_new * self.n_instruments))

    def predicted(self, ts_close: int) -> None:
        """Note that every model has scored all windows up to ts_close."""
        self._predicted_ns = max(self._predicted_ns, ts_close)
        while self._batches and self._batches[0][0] <= self._predicted_ns:
            self._batches.popleft()

    @property
    def is_full(self) -> bool:
        """Whether the windows that can close and are not predicted exceed the budget."""
        if len(self._sent_to_ns) < self._partitions:
            return False
        watermark_ns = min(self._sent_to_ns.values()) - self._lateness_ns
        closable_ns = watermark_ns // self._size_ns * self._size_ns
        cells = sum(cost for ts_close, cost in self._batches if self._predicted_ns < ts_close <= closable_ns)
        return cells > self._limit_cells


class FlowSink:
    """A sink that holds the replay back while too much is in flight, and remembers when what was sent.

    Parameters
    ----------
    sink
        Where batches go.
    in_flight
        Budget; `predicted` is called by whoever reads the predictions, then `wake`.
    now_s
        Monotonic clock in seconds.
    """

    publishes = True

    def __init__(self, sink: Sink, in_flight: InFlight, now_s: Callable[[], float]) -> None:
        self._sink = sink
        self._in_flight = in_flight
        self._now_s = now_s
        self._progress = asyncio.Event()
        self._sent_ns: list[int] = []
        self._sent_s: list[float] = []

    def wake(self) -> None:
        """Let a waiting replay look again."""
        self._progress.set()

    def latency_s(self, ts_close: int) -> float | None:
        """Return the time since the tick was sent that let a window close; None if it was not sent yet."""
        place = bisect_left(self._sent_ns, ts_close)
        return self._now_s() - self._sent_s[place] if place < len(self._sent_ns) else None

    async def start(self, instruments: Sequence[Instrument], run_id: str) -> Mapping[int, SentTail]:
        """Announce the instruments."""
        self._in_flight.n_instruments = len(instruments)
        return await self._sink.start(instruments, run_id)

    async def send(self, batch: TickBatch) -> None:
        """Wait for room, then send."""
        while self._in_flight.is_full:
            # Cleared before the flush: what is predicted meanwhile may be all that there is to wait for.
            self._progress.clear()
            await self._sink.flush()
            await self._progress.wait()
        await self._sink.send(batch)
        self._note(batch)

    async def flush(self) -> None:
        """Return when everything taken so far is acknowledged."""
        await self._sink.flush()

    async def finish(self, ends: Sequence[EndOfReplay], run_id: str) -> None:
        """Send the end of the replay, which closes every window."""
        await self._sink.finish(ends, run_id)
        self._remember(np.iinfo(np.int64).max)

    def _note(self, batch: TickBatch) -> None:
        times = batch.run.records["ts_event"]
        self._in_flight.sent(batch.partition, times)
        self._remember(int(times.max()))

    def _remember(self, ts_ns: int) -> None:
        # Ascending, so that a bisection finds the first batch that reached a time.
        if len(self._sent_ns) < MAX_SENT_TIMES and (not self._sent_ns or ts_ns > self._sent_ns[-1]):
            self._sent_ns.append(ts_ns)
            self._sent_s.append(self._now_s())
