"""Cut runs at window boundaries, so that each piece fits a message; no cut changes any result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from topics.runs import GraphRun, PredictionRun, WindowRun

TARGET_BYTES: Final = 1024 * 1024
"""Default size of a piece before compression; an eighth of the largest message."""

_PREDICTION_ROW_BYTES: Final = 25


def slice_graphs(run: GraphRun, start: int, stop: int) -> GraphRun:
    """Return windows start..stop-1 of a run, as views."""
    if start == 0 and stop == len(run.ts_close):
        return run
    return replace(
        run,
        seq=run.seq + start,
        ts_close=run.ts_close[start:stop],
        mask=run.mask[start:stop],
        features=run.features[start:stop],
        close=run.close[start:stop],
        neighbors=run.neighbors[start:stop],
        neighbor_weights=run.neighbor_weights[start:stop],
    )


def slice_predictions(run: PredictionRun, start: int, stop: int) -> PredictionRun:
    """Return windows start..stop-1 of a run, as views."""
    if start == 0 and stop == len(run.ts_close):
        return run
    return replace(
        run,
        seq=run.seq + start,
        ts_close=run.ts_close[start:stop],
        scores=run.scores[start:stop],
        ranks=run.ranks[start:stop],
        mask=run.mask[start:stop],
        warmup=run.warmup[start:stop],
    )


def cut_graphs(run: GraphRun, target_bytes: int = TARGET_BYTES) -> Iterator[GraphRun]:
    """Yield a run in pieces of about `target_bytes`, at least one window each."""
    arrays = (run.features, run.close, run.neighbors, run.neighbor_weights, run.mask)
    for start, stop in _pieces(len(run.ts_close), sum(array.nbytes for array in arrays), target_bytes):
        yield slice_graphs(run, start, stop)


def cut_predictions(run: PredictionRun, target_bytes: int = TARGET_BYTES) -> Iterator[PredictionRun]:
    """Yield a run in pieces of about `target_bytes`, at least one window each."""
    n_bytes = int(np.count_nonzero(run.mask)) * _PREDICTION_ROW_BYTES
    for start, stop in _pieces(len(run.ts_close), n_bytes, target_bytes):
        yield slice_predictions(run, start, stop)


def cut_windows(run: WindowRun, target_bytes: int = TARGET_BYTES) -> Iterator[WindowRun]:
    """Yield a run in pieces of about `target_bytes`, whole windows each; the last carries the frontier.

    A piece before the last has the end of its own last window as its frontier.
    """
    rows = run.rows
    n_rows = max(1, target_bytes // rows.dtype.itemsize)
    start = 0
    while len(rows) - start > n_rows:
        stop = start + n_rows
        first_beyond = rows["ts_close"][stop]
        # Back to the start of the window that the size would cut; a window larger than a piece stays whole.
        stop = int(np.searchsorted(rows["ts_close"], first_beyond, side="left"))
        if stop <= start:
            stop = int(np.searchsorted(rows["ts_close"], first_beyond, side="right"))
        if stop >= len(rows):
            break
        yield replace(run, rows=rows[start:stop], frontier_ns=int(rows["ts_close"][stop - 1]))
        start = stop
    yield replace(run, rows=rows[start:])


def _pieces(n_windows: int, n_bytes: int, target_bytes: int) -> Iterator[tuple[int, int]]:
    if n_windows:
        step = max(1, target_bytes * n_windows // max(1, n_bytes))
        for start in range(0, n_windows, step):
            yield start, min(start + step, n_windows)
