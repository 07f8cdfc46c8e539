"""What a replay has emitted: counts by symbol and partition, first and last time, and the digest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topics.control import EndOfReplay
from topics.digest import TickDigest
from topics.runs import TickRun
from topics.types import RecordArray, UInt32Array


class Account:
    """Counts ticks as they are emitted, heartbeats left out. Mutates self.

    Parameters
    ----------
    ids
        Ids by which ticks are counted, ascending; None for the numbers from 1.
    """

    def __init__(self, schema_name: str, partitions: int, ids: UInt32Array | None = None) -> None:
        self._schema_name = schema_name
        self._ids = ids
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
        """Return the ticks of each symbol, which are in the order of the ids."""
        counts = np.zeros(len(symbols) + 1, dtype=np.int64)
        counts[: len(self._by_id)] = self._by_id
        found: dict[str, int] = {}
        # Several ids may bear one symbol, at several venues.
        for symbol, count in zip(symbols, counts[1:].tolist(), strict=True):
            found[symbol] = found.get(symbol, 0) + count
        return found

    def add(self, ticks: RecordArray, partitions: NDArray[np.uint16], schema_name: str | None = None) -> None:
        """Count ticks, (n,) in merged order, with the partition of each."""
        if not len(ticks):
            return
        self._digest.update(TickRun(schema_name or self._schema_name, ticks))
        counts = np.bincount(self._numbers(ticks["instrument_id"]), minlength=len(self._by_id))
        counts[: len(self._by_id)] += self._by_id
        self._by_id = counts
        self._by_partition += np.bincount(partitions, minlength=len(self._by_partition))
        times = ticks["ts_event"]
        if self.ts_first is None:
            self.ts_first = int(times[0])
        self.ts_last = max(self.ts_last, int(times.max()))

    def _numbers(self, instrument_ids: UInt32Array) -> NDArray[np.integer[Any]]:
        """Return 1 for the first id and so on, 0 for one that is not among them."""
        if self._ids is None:
            return instrument_ids
        places = np.searchsorted(self._ids, instrument_ids)
        known = np.append(self._ids, np.uint32(0))[places] == instrument_ids
        return np.where(known, places + 1, 0)

    def ends(self) -> list[EndOfReplay]:
        """Return each partition's end-of-replay record."""
        digest = self.digest
        return [
            EndOfReplay(ts_last=self.ts_last, ticks=ticks, total_ticks=self.ticks, digest=digest)
            for ticks in self.by_partition
        ]
