"""A small day, its windows, snapshots and scores as text: any change of a result shows as a reviewed diff.

`python -m tests.golden.pipeline_golden` writes the files anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cs3g_model.features import FEATURE_NAMES
from pipeline.announced_relations import Edges
from pipeline.graph_config import GraphConfig, InstrumentDirectory
from pipeline.offline import (
    join_graph_runs,
    partition_ticks,
    score_runs,
    snapshots_from_ticks,
    windows_from_ticks,
)
from tests.unit.pipeline.models import ExponentialMean
from topics import tick_builders
from topics.runs import WINDOW_ROW_DTYPE, GraphRun, TickRun

FOLDER = Path(__file__).parent
WINDOWS_FILE = FOLDER / "pipeline_windows.csv"
SNAPSHOTS_FILE = FOLDER / "pipeline_snapshots.csv"

_SECOND = 1_000_000_000
_START = 1_700_000_000 * _SECOND
_PARTITIONS = 2
_CONFIG = GraphConfig(
    "golden",
    10 * _SECOND,
    neighbors=2,
    correlation_windows=6,
    correlation_stride=2,
    lead_neighbors=2,
    lead_windows=6,
    lead_stride=2,
)
_EDGES = {"supply": Edges.from_lists({1: [(4, 0.5), (2, -0.25)], 2: [(1, -0.25)], 4: [(1, 0.5)]})}
_DIRECTORY = InstrumentDirectory({i: f"S{i}" for i in range(1, 6)}, {1: 0, 2: 0, 3: 1}, _EDGES)


def ticks() -> TickRun:
    """200 trades and quotes of five instruments over two minutes, from integers only."""
    n = 200
    i = np.arange(n, dtype=np.int64)
    mixed = (i * 2654435761 + 12345) % 2**32  # Knuth's multiplicative hash: no generator to depend on
    instrument_id = mixed // 7 % 5 + 1
    middle = (100 + 20 * instrument_id) * _SECOND + (mixed % 201 - 100) * 10_000_000
    return tick_builders.quotes(
        instrument_id=instrument_id,
        ts_event=_START + i * 600_000_000 + mixed % 400_000_000,
        action=np.where(mixed % 3 == 0, b"T", b"M"),
        side=np.array([b"A", b"B", b"N"])[mixed // 11 % 3],
        price=middle,
        size=mixed // 13 % 50 + 1,
        bid_price=middle - (mixed // 17 % 5) * 10_000_000,
        ask_price=middle + (mixed // 19 % 5) * 10_000_000,
        bid_size=mixed // 23 % 90,
        ask_size=mixed // 29 % 90,
    )


def window_lines() -> Iterator[str]:
    names = WINDOW_ROW_DTYPE.names or ()
    yield ",".join(names)
    rows = np.concatenate(
        [
            run.rows
            for run in windows_from_ticks(
                partition_ticks(ticks(), _PARTITIONS),
                universe="golden",
                size_ns=_CONFIG.size_ns,
                partitions=_PARTITIONS,
            )
        ]
    )
    for row in np.sort(rows, order=["ts_close", "instrument_id"]):
        yield ",".join(repr(row[name].item()) for name in names)


def snapshot_lines() -> Iterator[str]:
    run = join_graph_runs(
        snapshots_from_ticks(
            partition_ticks(ticks(), _PARTITIONS), _DIRECTORY, _CONFIG, partitions=_PARTITIONS
        )
    )
    (scored,) = score_runs(ExponentialMean(), [run])
    names = [name for name, _ in run.relations]
    yield ",".join(("ts_close", "symbol", *FEATURE_NAMES, *names, "score", "rank", "warmup"))
    for t, n in np.argwhere(run.mask):
        yield ",".join(
            (
                str(run.ts_close[t]),
                run.symbols[n],
                *(str(value) for value in run.features[t, n]),
                *_edges(run, int(t), int(n)),
                str(scored.scores[t, n]),
                str(scored.ranks[t, n]),
                str(scored.warmup[t]),
            )
        )


def _edges(run: GraphRun, t: int, n: int) -> Iterator[str]:
    """One text a relation: symbols and weights of its neighbors."""
    first = 0
    for _, width in run.relations:
        slots = range(first, first + width)
        pairs = [(run.neighbors[t, n, k], run.neighbor_weights[t, n, k]) for k in slots]
        yield " ".join(f"{run.symbols[j]}:{weight!s}" for j, weight in pairs if j >= 0)
        first += width


def main() -> None:
    WINDOWS_FILE.write_text("\n".join(window_lines()) + "\n")
    SNAPSHOTS_FILE.write_text("\n".join(snapshot_lines()) + "\n")


if __name__ == "__main__":
    main()
