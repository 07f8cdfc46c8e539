"""Heartbeats in the stream: when event time enters a new interval, every partition is told so.

A partition whose instruments are silent would hold back the windows of all others. The positions are a
function of the ticks alone, so neither the pace nor the cut into messages can move them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from replay.blank import blank
from replay.errors import ConfigError
from topics.ticks import opaque_records, tick_schema
from topics.types import HEARTBEAT_INSTRUMENT_ID, RecordArray


class Heartbeats:
    """Inserts heartbeats into a merged stream of ticks. Mutates self.

    Intervals of `heartbeat_ns` count from the UNIX epoch. Before the first tick of a later interval than any
    seen, each partition gets one record of the interval's start; an idle stretch of many intervals gives one.

    Parameters
    ----------
    heartbeat_ns
        Length of an interval; 0 for no heartbeats.

    Raises
    ------
    ConfigError
        A negative length, or no partition.
    """

    def __init__(self, schema_name: str, heartbeat_ns: int, partitions: int) -> None:
        if heartbeat_ns < 0:
            raise ConfigError(f"`heartbeat_ns` (={heartbeat_ns}) must be >= 0")
        if partitions < 1:
            raise ConfigError(f"`partitions` (={partitions}) must be >= 1")
        self._schema = tick_schema(schema_name)
        self._heartbeat_ns = heartbeat_ns
        self._partitions = partitions
        self._interval: int | None = None
        self._n_sent = 0

    @property
    def n_sent(self) -> int:
        """Heartbeats inserted so far, over all partitions."""
        return self._n_sent

    def insert(
        self, records: RecordArray, partitions: NDArray[np.uint16]
    ) -> tuple[RecordArray, NDArray[np.uint16]]:
        """Return the records with heartbeats among them, and the partition of each.

        Parameters
        ----------
        records
            (n,) consecutive ticks of the merged stream.
        partitions
            (n,) where each belongs.
        """
        n_records = len(records)
        if not self._heartbeat_ns or not n_records:
            return records, partitions
        intervals = records["ts_event"] // np.uint64(self._heartbeat_ns)
        before = intervals[0] if self._interval is None else np.uint64(self._interval)
        reached = np.maximum.accumulate(np.maximum(intervals, before))
        self._interval = int(reached[-1])
        entered = np.flatnonzero(np.diff(reached, prepend=before))
        if not len(entered):
            return records, partitions
        width = self._partitions
        # Tick i moves down by `width` for each interval entered up to and including itself.
        shift = np.zeros(n_records, dtype=np.int64)
        shift[entered] = width
        places = np.arange(n_records) + np.cumsum(shift)
        merged: RecordArray = np.empty(n_records + width * len(entered), dtype=self._schema.dtype)
        targets = np.empty(len(merged), dtype=np.uint16)
        opaque_records(merged)[places] = opaque_records(records)
        targets[places] = partitions
        slots = (places[entered] - width)[:, None] + np.arange(width)
        starts = reached[entered] * np.uint64(self._heartbeat_ns)
        opaque_records(merged)[slots] = opaque_records(self._beats(starts))[:, None]
        targets[slots] = np.arange(width, dtype=np.uint16)
        self._n_sent += slots.size
        return merged, targets

    def _beats(self, starts: NDArray[np.uint64]) -> RecordArray:
        beats = blank(self._schema, len(starts))
        beats["instrument_id"] = HEARTBEAT_INSTRUMENT_ID
        for name in ("ts_event", "ts_recv"):
            if name in (beats.dtype.names or ()):
                beats[name] = starts
        return beats
