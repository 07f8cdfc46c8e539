"""A control: the same model on snapshots whose relations stand still from the end of training on.

    python -m benchmarks.static_graph --data PANEL --relations REL --model FOLDER --train-end D --out SCORES.parquet

Writes scores (ts_close, symbol, score) that `cs3g evaluate` and `cs3g study --anchor` read.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from cs3g.files import write_whole
from cs3g.panel_data import PanelFile, end_of_day_ns, parse_window
from cs3g_model.artifacts import load_runtime
from cs3g_model.snapshots import Snapshots
from pipeline.graphs import snapshots_of


def stand_still(run: Snapshots, window: int) -> Snapshots:
    """Return the run with the neighbors of `window` in every later window; absent ones are left out there."""
    neighbors, weights = run.neighbors.copy(), run.neighbor_weights.copy()
    for t in range(window + 1, len(run.mask)):
        there = (run.neighbors[window] >= 0) & run.mask[t][run.neighbors[window]] & run.mask[t][:, None]
        neighbors[t] = np.where(there, run.neighbors[window], -1)
        weights[t] = np.where(there, run.neighbor_weights[window], 0.0)
    return replace(run, neighbors=neighbors, neighbor_weights=weights)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.static_graph", description=__doc__)
    for name in ("data", "model"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--relations", type=Path)
    parser.add_argument("--window")
    parser.add_argument("--train-end", type=date.fromisoformat, required=True, help="last day, UTC")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    run = PanelFile(options.data, options.relations, parse_window(options.window)).graph_run()
    last = int(np.searchsorted(run.ts_close - run.size_ns, end_of_day_ns(options.train_end))) - 1
    model = load_runtime(options.model)
    still = stand_still(snapshots_of(run), last)
    scores, _ = model.step_many(still, model.initial_state(run.mask.shape[1]))
    t, n = np.nonzero(run.mask)
    frame = pl.DataFrame(
        {"ts_close": run.ts_close[t], "symbol": np.array(run.symbols)[n], "score": scores[t, n]}
    )
    write_whole(options.out, frame.write_parquet)


if __name__ == "__main__":
    main()
