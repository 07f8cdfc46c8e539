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

from replay.batching import SentTail, TickBatch
from replay.sinks import Sink
from topics.control import EndOfReplay, Instrument

MAX_CELLS_IN_FLIGHT: Final = 60_000
"""Windows x instruments, or ticks if they are more: 8 MB of snapshots, less than half of what is retained."""

MAX_SENT_TIMES: Final = 200_000


class InFlight:
    """What was sent and is not predicted yet; mutates self.

    Parameters
    ----------
    size_ns
        Length of a window.
    limit_cells
        Windows x instruments, or ticks, that may be in flight.
    """

    def __init__(self, size_ns: int, limit_cells: int = MAX_CELLS_IN_FLIGHT) -> None:
        self.size_ns = size_ns
        self._limit_cells = limit_cells
        self._batches: deque[tuple[int, int]] = deque()
        self._latest_ns = 0
        self._predicted_ns = 0
        self.n_instruments = 1

    def sent(self, last_ns: int, n_ticks: int, n_windows: int) -> None:
        """Note a batch of one partition."""
        self._latest_ns = max(self._latest_ns, last_ns)
        ts_close = (last_ns // self.size_ns + 1) * self.size_ns
        self._batches.append((ts_close, max(n_ticks, n_windows * self.n_instruments)))

    def predicted(self, ts_close: int) -> None:
        """Note that every model has scored all windows up to ts_close."""
        self._predicted_ns = max(self._predicted_ns, ts_close)
        while self._batches and self._batches[0][0] <= self._predicted_ns:
            self._batches.popleft()

    @property
    def is_full(self) -> bool:
        """Whether the windows that can close and are not predicted exceed the budget."""
        closable = self._latest_ns // self.size_ns * self.size_ns
        cells = 0
        for ts_close, cost in self._batches:
            if self._predicted_ns < ts_close <= closable:
                cells += cost
                if cells > self._limit_cells:
                    return True
        return False


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
            await self._sink.flush()
            self._progress.clear()
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
        n_windows = len(np.unique(times // np.uint64(self._in_flight.size_ns)))
        last_ns = int(times.max())
        self._in_flight.sent(last_ns, len(times), n_windows)
        self._remember(last_ns)

    def _remember(self, ts_ns: int) -> None:
        # Ascending, so that a bisection finds the first batch that reached a time.
        if len(self._sent_ns) < MAX_SENT_TIMES and (not self._sent_ns or ts_ns > self._sent_ns[-1]):
            self._sent_ns.append(ts_ns)
            self._sent_s.append(self._now_s())
