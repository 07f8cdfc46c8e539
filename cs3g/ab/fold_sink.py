"""A replay's sink that folds ticks to snapshots in this process: the same stages as a worker's, without Kafka."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.barrier import WindowBarrier
from pipeline.config import PipelineConfig
from pipeline.graph_config import InstrumentDirectory
from pipeline.graph_state import GraphState
from pipeline.graphs import iter_graphs
from pipeline.windows import WindowAggregator
from replay.batching import SentTail, TickBatch
from topics.control import EndOfReplay, Instrument
from topics.runs import GraphRun, WindowRun

__all__ = ["FoldSink"]

_ROWS_AT_ONCE: Final = 2**18
"""Closed rows that are worth building snapshots of."""


class FoldSink:
    """Takes what a replay emits, heartbeats included, because they decide what is late. Mutates self.

    Parameters
    ----------
    config
        Partitions, windows and graphs; those of the replay.

    Attributes
    ----------
    runs
        Snapshots, in order.
    n_window_ticks, n_refused
        Ticks folded into closed windows; ticks that came late or that no window can take.
    """

    publishes = False

    def __init__(self, config: PipelineConfig) -> None:
        self._config = config
        self._aggregators = [
            WindowAggregator(
                config.universe,
                partition,
                config.window_size_ns,
                config.allowed_lateness_ns,
                partitions=config.tick_partitions,
            )
            for partition in range(config.tick_partitions)
        ]
        self._barrier = WindowBarrier(
            config.tick_partitions, 0, universe=config.universe, size_ns=config.window_size_ns
        )
        self._directory = InstrumentDirectory({}, {})
        self._state = GraphState.initial(config.graph)
        self._n_rows = 0
        self.runs: list[GraphRun] = []
        self.n_window_ticks = 0
        self.n_refused = 0

    async def start(self, instruments: Sequence[Instrument], run_id: str) -> Mapping[int, SentTail]:
        """Read the announcements."""
        self._directory = InstrumentDirectory.from_instruments(instruments, self._config.universe)
        return {}

    async def send(self, batch: TickBatch) -> None:
        """Fold a batch."""
        result = self._aggregators[batch.partition].fold(batch.run)
        self.n_refused += len(result.late) + len(result.invalid)
        self._take(result.closed)
        if self._n_rows >= _ROWS_AT_ONCE:
            self._build()

    async def flush(self) -> None:
        """Have nothing in flight."""

    async def finish(self, ends: Sequence[EndOfReplay], run_id: str) -> None:
        """Close every window."""
        for aggregator, end in zip(self._aggregators, ends, strict=True):
            self._take(aggregator.finish(end.ts_last))
        self._build()

    def _take(self, closed: WindowRun | None) -> None:
        if closed is not None:
            self.n_window_ticks += int(closed.rows["n_ticks"].sum())
            self._n_rows += len(closed.rows)
            self._barrier.add(closed)

    def _build(self) -> None:
        self._n_rows = 0
        for run, state in iter_graphs(self._barrier.take(), self._state, self._directory, self._config.graph):
            self._state = state
            self.runs.append(run)
