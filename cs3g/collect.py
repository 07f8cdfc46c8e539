"""Reads everything that a run publishes and accounts for it: predictions, closes, ticks in windows, dead letters.

What workers publish twice after a crash counts once, by the same rules that the pipeline itself follows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from cs3g.following import TopicsFollower
from topics.control import DeadLetter, decode_control
from topics.digest import PredictionDigest
from topics.envelope import Envelope
from topics.graphs_codec import decode_graphs
from topics.predictions_codec import decode_predictions
from topics.reader_core import PredictionGap, PredictionSequence
from topics.runs import PredictionRun
from topics.specs import TopicNames
from topics.types import Int64Array, Role, UInt32Array
from topics.windows_codec import decode_windows

POLL_MS: Final = 100


@dataclass(frozen=True, slots=True)
class CloseRun:
    """Last prices of consecutive snapshots, (T, N) in 1e-9."""

    ts_close: Int64Array
    instrument_ids: UInt32Array
    close: Int64Array
    sector: dict[int, int]


@dataclass(slots=True)
class Collected:
    """What a run published, each thing once.

    Attributes
    ----------
    window_ticks
        Ticks folded into closed windows.
    refused
        Ticks in dead letters, by cause.
    last_window_ns
        End of the last window in which something ticked.
    """

    predictions: list[PredictionRun] = field(default_factory=list)
    digest: PredictionDigest = field(default_factory=PredictionDigest)
    closes: list[CloseRun] = field(default_factory=list)
    gaps: list[PredictionGap] = field(default_factory=list)
    windows: int = 0
    window_ticks: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    last_close: dict[Role, int] = field(default_factory=dict)
    last_window_ns: int = 0


class Collector(TopicsFollower):
    """Follows a run's topics from their beginning; a context manager. Mutates self.

    Parameters
    ----------
    bootstrap
        The broker's address.
    topics
        The run's topics.
    universe
        The run's universe.
    """

    def __init__(self, bootstrap: str, topics: TopicNames, universe: str) -> None:
        super().__init__(bootstrap, [topics.predictions, topics.graphs, topics.windows, topics.dead_letters])
        self._topics = topics
        self._sequence = PredictionSequence(universe=universe, allow_replay=True)
        self._frontiers: dict[int, int] = {}
        self._last_snapshot_ns = -1
        self._letters: set[tuple[str, int, int, str]] = set()
        self.found = Collected()

    def frontier_ns(self, partitions: int) -> int:
        """Return up to where all of so many tick partitions have closed their windows, -1 if one has none."""
        return min(self._frontiers.get(partition, -1) for partition in range(partitions))

    async def poll(self) -> list[PredictionRun]:
        """Take what has arrived, waiting a moment if nothing has; return the new predictions."""
        runs = [self._take(record) for record in await self._arrived(POLL_MS)]
        return [run for run in runs if run is not None]

    async def drain(self) -> None:
        """Take everything up to the topics' ends as they are now."""
        async for record in self._present():
            self._take(record)

    def _take(self, record: Any) -> PredictionRun | None:
        topic, envelope = record.topic, Envelope.from_headers(record.headers)
        if topic == self._topics.predictions:
            return self._take_predictions(decode_predictions(record.value, envelope))
        if topic == self._topics.graphs:
            self._take_closes(record.value, envelope)
        elif topic == self._topics.windows:
            self._take_windows(record.value, envelope)
        else:
            self._take_dead_letter(record.value, envelope)
        return None

    def _take_predictions(self, run: PredictionRun) -> PredictionRun | None:
        # Before deduplication, so that a repetition with other content is noticed as a conflict.
        self.found.digest.update(run)
        reading = self._sequence.read(run, now_ns=0)
        if reading.gap is not None:
            self.found.gaps.append(reading.gap)
        if reading.run is not None:
            self.found.predictions.append(reading.run)
            self.found.last_close[run.role] = int(run.ts_close[-1])
        return reading.run

    def _take_closes(self, value: bytes, envelope: Envelope) -> None:
        run = decode_graphs(value, envelope)
        start = int(np.searchsorted(run.ts_close, self._last_snapshot_ns, side="right"))
        if start == len(run.ts_close):
            return
        self._last_snapshot_ns = int(run.ts_close[-1])
        self.found.windows += len(run.ts_close) - start
        sector = dict(zip(run.instrument_ids.tolist(), run.sector.tolist(), strict=True))
        self.found.closes.append(
            CloseRun(run.ts_close[start:], run.instrument_ids, run.close[start:], sector)
        )

    def _take_windows(self, value: bytes, envelope: Envelope) -> None:
        run = decode_windows(value, envelope)
        frontier = self._frontiers.get(run.partition, -1)
        fresh = run.rows[run.rows["ts_close"] > frontier]
        self.found.window_ticks += int(fresh["n_ticks"].sum())
        if len(fresh):
            self.found.last_window_ns = max(self.found.last_window_ns, int(fresh["ts_close"][-1]))
        self._frontiers[run.partition] = max(frontier, run.frontier_ns)

    def _take_dead_letter(self, value: bytes, envelope: Envelope) -> None:
        letter = decode_control(value, envelope)
        if not isinstance(letter, DeadLetter):
            return
        key = (letter.source_topic, letter.partition, letter.offset, letter.cause)
        if key not in self._letters:
            self._letters.add(key)
            self.found.refused[letter.cause] += letter.n_records


def slowest_close(last_close: dict[Role, int], roles: Iterable[Role]) -> int:
    """Return the end of the last window that every role has predicted, 0 if one has predicted none."""
    return min((last_close.get(role, 0) for role in roles), default=0)
