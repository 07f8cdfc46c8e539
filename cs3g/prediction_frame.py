"""Predictions as a table of rows, for Parquet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl

from cs3g.files import write_whole
from topics.runs import PredictionRun

SCHEMA = {
    "ts_close": pl.Int64,
    "symbol": pl.String,
    "role": pl.String,
    "model_id": pl.String,
    "score": pl.Float32,
    "rank": pl.Int32,
    "warmup": pl.Boolean,
}


def prediction_frame(runs: Iterable[PredictionRun]) -> pl.DataFrame:
    """Return one row a prediction: ts_close (ns), symbol, role, model_id, score, rank, warmup."""
    frames = []
    for run in runs:
        t, n = np.nonzero(run.mask)
        frames.append(
            pl.DataFrame(
                {
                    "ts_close": run.ts_close[t],
                    "symbol": pl.Series(run.symbols, dtype=pl.String).gather(n),
                    "role": pl.repeat(run.role, len(t), eager=True),
                    "model_id": pl.repeat(run.model_id, len(t), eager=True),
                    "score": run.scores[t, n],
                    "rank": run.ranks[t, n],
                    "warmup": run.warmup[t],
                },
                schema=SCHEMA,
            )
        )
    return pl.concat(frames) if frames else pl.DataFrame(schema=SCHEMA)


def write_predictions(path: Path, runs: Iterable[PredictionRun]) -> int:
    """Write predictions to a Parquet file, sorted by role, window and rank; return the number of rows."""
    frame = prediction_frame(runs).sort("role", "ts_close", "rank")
    write_whole(path, frame.write_parquet)
    return frame.height
