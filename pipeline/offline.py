"""The pipeline without Kafka: ticks to windows, snapshots and predictions in one process.

The same fold, barrier, graph and scoring code as online, so training data, `cs3g score` and comparisons on
history equal what a worker publishes, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from cs3g_model.protocol import StreamingModel
from pipeline.barrier import WindowBarrier
from pipeline.errors import GraphRunError
from pipeline.graph_config import GraphConfig, InstrumentDirectory
from pipeline.graph_state import GraphState
from pipeline.graphs import iter_graphs
from pipeline.scoring import ScoringState, score_run
from pipeline.windows import WindowAggregator
from topics.runs import GraphRun, PredictionRun, TickRun, WindowRun
from topics.ticks import is_heartbeat
from topics.types import UNDEF_PRICE, RecordArray

_ROWS_AT_ONCE: Final = 2**19


@dataclass(slots=True)
class TickCounts:
    """Where the ticks went: n_ticks == n_window_ticks + n_late + n_invalid, heartbeats not counted."""

    n_ticks: int = 0
    n_window_ticks: int = 0
    n_late: int = 0
    n_invalid: int = 0
    invalid_causes: dict[str, int] = field(default_factory=dict)


def partition_ticks(run: TickRun, partitions: int) -> Iterator[tuple[int, TickRun]]:
    """Yield the part of a run that belongs to each tick partition, in order; heartbeats belong to all."""
    partition = run.records["instrument_id"] % np.uint32(partitions)
    beats = is_heartbeat(run.records)
    for p in range(partitions):
        records = run.records[(partition == p) | beats]
        if len(records):
            yield p, TickRun(run.schema, records)


def windows_from_ticks(
    ticks: Iterable[tuple[int, TickRun]],
    *,
    universe: str,
    size_ns: int,
    partitions: int,
    allowed_lateness_ns: int = 0,
    counts: TickCounts | None = None,
) -> Iterator[WindowRun]:
    """Fold ticks to windows, and close the last ones at the end.

    Parameters
    ----------
    ticks
        (partition, run) in each partition's order of arrival, such as `partition_ticks` yields.
    universe, size_ns, partitions, allowed_lateness_ns
        As in `PipelineConfig`.
    counts
        Filled in, where given.

    Yields
    ------
    Runs of closed windows; per partition in order, and at last one that closes everything.
    """
    counts = TickCounts() if counts is None else counts
    aggregators = [
        WindowAggregator(universe, p, size_ns, allowed_lateness_ns, partitions=partitions)
        for p in range(partitions)
    ]
    ts_last = -1
    for partition, run in ticks:
        result = aggregators[partition].fold(run)
        counts.n_ticks += len(run.records) - int(np.count_nonzero(is_heartbeat(run.records)))
        counts.n_late += len(result.late)
        counts.n_invalid += len(result.invalid)
        for cause in result.invalid_causes:
            counts.invalid_causes[cause] = counts.invalid_causes.get(cause, 0) + 1
        ts_last = max(ts_last, result.last_close_touched_ns - 1)
        if result.closed is not None:
            counts.n_window_ticks += int(result.closed.rows["n_ticks"].sum())
            yield result.closed
    if ts_last < 0:
        return
    for aggregator in aggregators:
        closed = aggregator.finish(ts_last)
        if closed is not None:
            counts.n_window_ticks += int(closed.rows["n_ticks"].sum())
            yield closed


def snapshots_from_ticks(
    ticks: Iterable[tuple[int, TickRun]],
    directory: InstrumentDirectory,
    config: GraphConfig,
    *,
    partitions: int,
    allowed_lateness_ns: int = 0,
    counts: TickCounts | None = None,
) -> Iterator[GraphRun]:
    """Build the graph snapshots of ticks; parameters as in `windows_from_ticks` and `build_graphs`.

    Yields
    ------
    Consecutive runs, each of as many windows as memory allows; `join_graph_runs` makes one of them.
    """
    windows = windows_from_ticks(
        ticks,
        universe=config.universe,
        size_ns=config.size_ns,
        partitions=partitions,
        allowed_lateness_ns=allowed_lateness_ns,
        counts=counts,
    )
    state = GraphState.initial(config)
    for rows in _complete_rows(windows, partitions, config):
        for run, after in iter_graphs(rows, state, directory, config):
            state = after
            yield run


def score_runs(model: StreamingModel, runs: Iterable[GraphRun]) -> Iterator[PredictionRun]:
    """Score consecutive runs of snapshots from the model's initial state."""
    state = ScoringState.initial(model)
    for run in runs:
        predictions, state = score_run(model, run, state)
        if predictions is not None:
            yield predictions


def join_graph_runs(runs: Iterable[GraphRun]) -> GraphRun:
    """Join consecutive runs into one, over the instruments of the last.

    Raises
    ------
    GraphRunError
        There is no run, or they are not consecutive runs of one universe, or have other relations.
    """
    pieces = list(runs)
    if not pieces:
        raise GraphRunError("there are no snapshots: no tick fell into any window")
    last = pieces[-1]
    n = len(last.instrument_ids)
    seq = pieces[0].seq
    for piece in pieces:
        if (piece.universe, piece.size_ns, piece.seq) != (last.universe, last.size_ns, seq):
            raise GraphRunError(f"the run of seq {piece.seq} does not follow: seq {seq} was expected")
        if piece.relations != last.relations:
            raise GraphRunError(
                f"the run of seq {piece.seq} has the relations {piece.relations}, the last {last.relations}:"
                " announce the whole universe before its first tick"
            )
        seq += len(piece.ts_close)
    n_windows, k = seq - pieces[0].seq, last.neighbors.shape[-1]
    joined = replace(
        last,
        seq=pieces[0].seq,
        ts_close=np.concatenate([piece.ts_close for piece in pieces]),
        mask=np.zeros((n_windows, n), np.bool_),
        features=np.zeros((n_windows, n, last.features.shape[-1]), np.float32),
        close=np.full((n_windows, n), UNDEF_PRICE, np.int64),
        neighbors=np.full((n_windows, n, k), -1, np.int32),
        neighbor_weights=np.zeros((n_windows, n, k), np.float32),
    )
    start = 0
    for piece in pieces:
        place = np.searchsorted(last.instrument_ids, piece.instrument_ids)
        rows = slice(start, start + len(piece.ts_close))
        for name in ("mask", "features", "close", "neighbor_weights"):
            getattr(joined, name)[rows, place] = getattr(piece, name)
        # -1 reads the appended entry, itself -1.
        joined.neighbors[rows, place] = np.append(place, -1).astype(np.int32)[piece.neighbors]
        start = rows.stop
    return joined


def _complete_rows(
    windows: Iterable[WindowRun], partitions: int, config: GraphConfig
) -> Iterator[RecordArray]:
    # Complete windows, many at once: a piece of work should be worth its overhead.
    barrier = WindowBarrier(partitions, 0, universe=config.universe, size_ns=config.size_ns)
    n_rows = 0
    for run in windows:
        barrier.add(run)
        n_rows += len(run.rows)
        if n_rows >= _ROWS_AT_ONCE:
            yield barrier.take()
            n_rows = 0
    yield barrier.take()
