"""What a replay has emitted: counts by symbol and partition, first and last time, and the digest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from topics.control import EndOfReplay
from topics.digest import TickDigest
from topics.runs import TickRun
from topics.types import RecordArray


class Account:
    """Counts ticks as they are emitted, heartbeats left out. Mutates self."""

    def __init__(self, schema_name: str, partitions: int) -> None:
        self._schema_name = schema_name
        self._digest = TickDigest()
        self._by_id = np.zeros(0, dtype=np.int64)
        self._by_partition = np.zeros(partitions, dtype=np.int64)
        self.ts_first: int | None = None
        self.ts_last = 0

    @property
    def ticks(self) -> int:
        """Ticks so far."""
        return self._digest.n_ticks

    @property
    def digest(self) -> str:
        """`sha256:<hex>` so far."""
        return self._digest.value()

    @property
    def by_partition(self) -> tuple[int, ...]:
        """Ticks of each partition."""
        return tuple(self._by_partition.tolist())

    def by_symbol(self, symbols: Sequence[str]) -> dict[str, int]:
        """Return the ticks of each symbol; ids are the 1-based positions."""
        counts = np.zeros(len(symbols) + 1, dtype=np.int64)
        counts[: len(self._by_id)] = self._by_id
        return dict(zip(symbols, counts[1:].tolist(), strict=True))

    def add(self, ticks: RecordArray, partitions: NDArray[np.uint16]) -> None:
        """Count ticks, (n,) in merged order, with the partition of each."""
        if not len(ticks):
            return
        self._digest.update(TickRun(self._schema_name, ticks))
        counts = np.bincount(ticks["instrument_id"], minlength=len(self._by_id))
        counts[: len(self._by_id)] += self._by_id
        self._by_id = counts
        self._by_partition += np.bincount(partitions, minlength=len(self._by_partition))
        times = ticks["ts_event"]
        if self.ts_first is None:
            self.ts_first = int(times[0])
        self.ts_last = max(self.ts_last, int(times.max()))

    def ends(self) -> list[EndOfReplay]:
        """Return each partition's end-of-replay record."""
        digest = self.digest
        return [
            EndOfReplay(ts_last=self.ts_last, ticks=ticks, total_ticks=self.ticks, digest=digest)
            for ticks in self.by_partition
        ]
