"""The recorded windows that a job learns from: the topic of snapshots, or an archive folder that is allow-listed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from cs3g.jobs.errors import JobError, JobRefused
from pipeline.config import PipelineConfig
from pipeline.errors import GraphRunError
from pipeline.offline import join_graph_runs
from topics.connection import admin_client, read_to_end, reader_client
from topics.cuts import slice_graphs
from topics.envelope import Envelope
from topics.errors import SchemaError
from topics.graphs_codec import decode_graphs
from topics.groups import partitions_of
from topics.runs import GraphRun

__all__ = ["LIVE_GRAPHS", "archive_folder", "join_range", "read_live_graphs"]

LIVE_GRAPHS: Final = "live-graphs"
"""The data set that every worker has: what the topic of snapshots holds."""

_NANOS_PER_MS: Final = 1_000_000


async def read_live_graphs(config: PipelineConfig, from_ts_close: int, to_ts_close: int) -> GraphRun:
    """Return the universe's snapshots of windows that end in (from_ts_close, to_ts_close], as one run.

    Parameters
    ----------
    from_ts_close, to_ts_close
        ns; 0 for an open end.

    Raises
    ------
    JobError
        If the topic holds none of them.
    topics.errors.TopicError
        If the broker does not answer, or the topic is not there.
    """
    pieces: list[GraphRun] = []
    async with admin_client(config.bootstrap_servers) as admin:
        partitions = await partitions_of(admin, [config.topics.graphs])
    async with reader_client(config.bootstrap_servers) as reader:
        reader.assign(partitions)
        async for record in read_to_end(reader, partitions):
            # A message's time is that of its last window: what ends too early need not be decoded.
            if 0 < record.timestamp < from_ts_close // _NANOS_PER_MS:
                continue
            try:
                run = decode_graphs(record.value, Envelope.from_headers(record.headers))
            except SchemaError:
                continue  # whoever publishes such a message is told in dead letters, not here
            if run.universe == config.universe:
                pieces.append(run)
    return join_range(pieces, from_ts_close, to_ts_close, LIVE_GRAPHS)


def join_range(runs: Iterable[GraphRun], from_ts_close: int, to_ts_close: int, name: str) -> GraphRun:
    """Join the windows of a range; one that was published twice counts once.

    Raises
    ------
    JobError
        If there is none, or a window between them is missing.
    """
    end = to_ts_close or np.iinfo(np.int64).max
    last = from_ts_close if from_ts_close > 0 else -1
    pieces: list[GraphRun] = []
    for run in runs:
        start = int(np.searchsorted(run.ts_close, last, side="right"))
        stop = int(np.searchsorted(run.ts_close, end, side="right"))
        if start < stop:
            pieces.append(slice_graphs(run, start, stop))
            last = int(pieces[-1].ts_close[-1])
    if not pieces:
        raise JobError(
            f"data set {name!r} holds no window that ends in ({from_ts_close}, {to_ts_close or 'open'}]"
        )
    try:
        return join_graph_runs(pieces)
    except GraphRunError as error:
        raise JobError(f"data set {name!r} is not whole in the range: {error}") from error


def archive_folder(datasets: Path | None, name: str) -> Path:
    """Return an archive's folder by its name among those of the worker's folder of data sets.

    Raises
    ------
    JobRefused
        If there is none of that name.
    """
    # By listing, never by joining: a name cannot lead anywhere else.
    known = {} if datasets is None else {p.name: p for p in sorted(datasets.iterdir()) if p.is_dir()}
    if name not in known:
        names = ", ".join([LIVE_GRAPHS, *known])
        raise JobRefused(f"no data set is called {name!r}: this worker knows {names}")
    return known[name]
