"""Runs with plausible defaults, and the comparison that a round trip must pass."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from topics import tick_builders
from topics.runs import WINDOW_ROW_DTYPE, GraphRun, PredictionRun, TickRun, WindowRun
from topics.types import NANOS_PER_SECOND, UNDEF_PRICE

SIZE_NS = NANOS_PER_SECOND
T0 = 1_700_000_000 * NANOS_PER_SECOND


def make_trades(n_ticks: int = 5, *, seed: int = 0) -> TickRun:
    rng = np.random.default_rng(seed)
    return tick_builders.trades(
        instrument_id=rng.integers(1, 9, n_ticks),
        ts_event=T0 + np.arange(n_ticks),
        price=rng.integers(1, 10**12, n_ticks),
        size=rng.integers(1, 1000, n_ticks),
    )


def make_ts_close(n_windows: int, first: int = 0) -> np.ndarray:
    return T0 + (np.arange(first, first + n_windows, dtype=np.int64) + 1) * SIZE_NS


def make_windows(n_windows: int = 3, n_instruments: int = 4, *, seed: int = 0, **changes: Any) -> WindowRun:
    rng = np.random.default_rng(seed)
    rows = np.zeros(n_windows * n_instruments, dtype=WINDOW_ROW_DTYPE)
    for name in WINDOW_ROW_DTYPE.names or ():
        kind = WINDOW_ROW_DTYPE[name].kind
        rows[name] = rng.random(len(rows)) if kind == "f" else rng.integers(1, 10**6, len(rows))
    rows["ts_close"] = np.repeat(make_ts_close(n_windows), n_instruments)
    rows["instrument_id"] = np.tile(np.arange(n_instruments) + 1, n_windows)
    values: dict[str, Any] = {
        "universe": "test",
        "partition": 0,
        "size_ns": SIZE_NS,
        "frontier_ns": T0 + n_windows * SIZE_NS,
        "rows": rows,
    }
    return WindowRun(**{**values, **changes})


def make_graphs(
    n_windows: int = 3,
    n_instruments: int = 4,
    *,
    n_features: int = 3,
    n_neighbors: int = 2,
    presence: float = 0.7,
    seed: int = 0,
    **changes: Any,
) -> GraphRun:
    rng = np.random.default_rng(seed)
    shape = (n_windows, n_instruments)
    mask = rng.random(shape) < presence
    features = rng.standard_normal((*shape, n_features)) * mask[..., np.newaxis]
    values: dict[str, Any] = {
        "universe": "test",
        "seq": 0,
        "size_ns": SIZE_NS,
        "instrument_ids": np.arange(1, n_instruments + 1, dtype=np.uint32),
        "symbols": tuple(f"S{index}" for index in range(n_instruments)),
        "sector": rng.integers(-1, 3, n_instruments).astype(np.int16),
        "ts_close": make_ts_close(n_windows),
        "mask": mask,
        "features": features.astype(np.float32),
        "close": np.where(mask, rng.integers(1, 10**12, shape), UNDEF_PRICE),
        "neighbors": rng.integers(-1, n_instruments, (*shape, n_neighbors)).astype(np.int32),
        "neighbor_weights": rng.random((*shape, n_neighbors), dtype=np.float32),
        "relations": tuple((f"relation {k}", 1) for k in range(n_neighbors)),
    }
    return GraphRun(**{**values, **changes})


def make_predictions(
    n_windows: int = 3, n_instruments: int = 4, *, presence: float = 0.7, seed: int = 0, **changes: Any
) -> PredictionRun:
    rng = np.random.default_rng(seed)
    mask = rng.random((n_windows, n_instruments)) < presence
    scores = np.where(mask, rng.standard_normal(mask.shape), 0).astype(np.float32)
    order = np.argsort(np.where(mask, -scores, np.inf), axis=1, kind="stable")
    ranks = np.where(mask, np.argsort(order, axis=1, kind="stable") + 1, 0).astype(np.int32)
    values: dict[str, Any] = {
        "universe": "test",
        "role": "student",
        "model_id": "0123456789abcdef",
        "seq": 0,
        "size_ns": SIZE_NS,
        "instrument_ids": np.arange(1, n_instruments + 1, dtype=np.uint32),
        "symbols": tuple(f"S{index}" for index in range(n_instruments)),
        "ts_close": make_ts_close(n_windows),
        "scores": scores,
        "ranks": ranks,
        "mask": mask,
        "warmup": np.arange(n_windows) < 1,
    }
    return PredictionRun(**{**values, **changes})


def assert_same(found: object, expected: object) -> None:
    """Every field equal, arrays bit for bit; decoded arrays are writable, as compiled kernels expect."""
    assert type(found) is type(expected)
    for field in fields(expected):  # type: ignore[arg-type]
        ours, theirs = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(theirs, np.ndarray):
            assert ours.dtype == theirs.dtype, field.name
            assert ours.shape == theirs.shape, field.name
            assert ours.tobytes() == theirs.tobytes(), field.name
            assert ours.flags.writeable, field.name
        else:
            assert ours == theirs, field.name
