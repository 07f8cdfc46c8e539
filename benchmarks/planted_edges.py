"""How well a model's influence finds the edges that a generated market planted.

    python -m benchmarks.planted_edges --market DIR --model FOLDER --windows 1190,1250,1490

Prints the AUROC of |d score_i / d return_j| against the planted edges of each window, all pairs of different
instruments: 0.5 is chance, 1 every edge before every other pair.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from cs3g.panel_data import PanelFile
from cs3g_model.artifacts import load_artifact, resolve_artifact
from cs3g_model.config import TeacherConfig
from cs3g_model.influence import influence
from cs3g_model.inputs import initial_tensors, snapshot_tensors
from cs3g_model.student import Student
from cs3g_model.teacher import Teacher
from cs3g_model.teacher_runtime import load_tensors, single_thread
from pipeline.graphs import snapshots_of

_CHUNK = 64


def auroc(strength: NDArray[np.float32], edges: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve over all pairs but the diagonal."""
    pairs = ~np.eye(len(edges), dtype=bool)
    ranks, positive = rankdata(strength[pairs]), edges[pairs]
    n, m = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def edges_at(truth: pl.DataFrame, symbols: tuple[str, ...], window: int) -> NDArray[np.bool_]:
    """Return the planted edges of a window as (N, N), destination by source."""
    now = truth.filter((pl.col("window_start") <= window) & (window < pl.col("window_stop")))
    place = {symbol: n for n, symbol in enumerate(symbols)}
    edges = np.zeros((len(symbols), len(symbols)), np.bool_)
    edges[[place[s] for s in now["destination"]], [place[s] for s in now["source"]]] = True
    return edges


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted_edges", description=__doc__)
    parser.add_argument("--market", type=Path, required=True, help="folder of `cs3g generate`")
    parser.add_argument("--model", required=True, help="artifact's folder or id")
    parser.add_argument("--windows", default="1190,1250,1490", help="with commas between")
    options = parser.parse_args()
    windows = [int(t) for t in options.windows.split(",")]
    artifact = load_artifact(resolve_artifact(options.model))
    config = artifact.manifest.model_config()
    model: Teacher | Student = Teacher(config) if isinstance(config, TeacherConfig) else Student(config)
    load_tensors(model, artifact.tensors)
    model.eval()
    run = PanelFile(str(options.market / "panel.parquet"), options.market / "sectors.parquet").graph_run()
    truth = pl.read_parquet(options.market / "truth_edges.parquet")
    x = snapshot_tensors(snapshots_of(run))
    state, t, found = initial_tensors(model.state_shapes(), x.mask.shape[1]), 0, {}
    with single_thread():
        for window in sorted(windows):
            with torch.no_grad():
                while t < window:
                    stop = min(t + _CHUNK, window)
                    state, t = model(x.window(t, stop), state)[1], stop
            strength = np.abs(influence(model, x.window(window, window + 1), state))
            found[window] = auroc(strength, edges_at(truth, run.symbols, window))
    print(json.dumps({"model": artifact.manifest.model_id, "auroc": found}))


if __name__ == "__main__":
    main()
