"""Predictions on the wire: one row for each window and present instrument of one model."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import pyarrow as pa

from topics import arrow, checks
from topics.envelope import ARROW, Envelope
from topics.errors import SchemaError
from topics.runs import PredictionRun
from topics.types import Int64Array, Role

PREDICTIONS_SCHEMA: Final = "predictions"
PREDICTIONS_VERSION: Final = 1

_TYPES: Final = {
    "ts_close": pa.int64(),
    "instrument_id": pa.uint32(),
    "symbol": arrow.SYMBOL_TYPE,
    "score": pa.float32(),
    "rank": pa.int32(),
}


class _Metadata(msgspec.Struct, frozen=True):
    universe: arrow.Text
    role: Role
    model_id: arrow.Text
    seq: arrow.Index
    size_ns: arrow.PositiveNanos
    instrument_ids: list[int]
    symbols: tuple[str, ...]
    ts_close: list[int]
    warmup: list[bool]


def encode_predictions(run: PredictionRun) -> bytes:
    """Return a run of predictions as an Arrow IPC stream.

    Raises
    ------
    SchemaError
        A shape, an axis or a value breaks the schema.
    MessageTooLarge
        The run does not fit a message: cut it with `topics.cuts.cut_predictions`.
    """
    _check(run)
    window, position = run.mask.nonzero()
    columns = {
        "ts_close": arrow.from_numpy(run.ts_close[window]),
        "instrument_id": arrow.from_numpy(run.instrument_ids[position]),
        "symbol": arrow.symbols_column(position.astype(np.int32), run.symbols),
        "score": arrow.from_numpy(run.scores[run.mask]),
        "rank": arrow.from_numpy(run.ranks[run.mask]),
        "warmup": arrow.from_numpy(run.warmup[window]),
    }
    metadata = _Metadata(
        universe=run.universe,
        role=run.role,
        model_id=run.model_id,
        seq=run.seq,
        size_ns=run.size_ns,
        instrument_ids=run.instrument_ids.tolist(),
        symbols=run.symbols,
        ts_close=run.ts_close.tolist(),
        warmup=run.warmup.tolist(),
    )
    return arrow.write_stream(columns, metadata)


def decode_predictions(value: bytes | None, envelope: Envelope) -> PredictionRun:
    """Return the run of predictions that a message carries.

    Raises
    ------
    UnknownVersion
        Schema or version unknown.
    SchemaError
        The bytes break the schema.
    """
    envelope.require(PREDICTIONS_SCHEMA, PREDICTIONS_VERSION, ARROW)
    batch, metadata = arrow.read_stream(value, _TYPES, _Metadata)
    instrument_ids = arrow.axis("instrument_ids", metadata.instrument_ids, np.uint32)
    ts_close = arrow.axis("ts_close", metadata.ts_close, np.int64)
    checks.check_run_axes(metadata.size_ns, ts_close, instrument_ids, metadata.symbols)
    shape = (len(ts_close), len(instrument_ids))

    position = arrow.index_column(batch, "symbol")
    if len(position) and not 0 <= position.min() <= position.max() < shape[1]:
        raise SchemaError(f"the index of `symbol` must be in 0..{shape[1] - 1}", field_path="symbol")
    if (instrument_ids[position] != arrow.column(batch, "instrument_id", np.uint32)).any():
        raise SchemaError("`instrument_id` contradicts the index of `symbol`", field_path="instrument_id")
    window = _window_of_rows(arrow.column(batch, "ts_close", np.int64), ts_close)
    cell = window * shape[1] + position
    if (np.diff(cell) <= 0).any():
        raise SchemaError("rows must ascend strictly by (ts_close, instrument_id)", field_path="rows")

    mask = np.zeros(shape, dtype=np.bool_)
    scores = np.zeros(shape, dtype=np.float32)
    ranks = np.zeros(shape, dtype=np.int32)
    mask.reshape(-1)[cell] = True
    scores.reshape(-1)[cell] = arrow.column(batch, "score", np.float32)
    ranks.reshape(-1)[cell] = arrow.column(batch, "rank", np.int32)
    run = PredictionRun(
        universe=metadata.universe,
        role=metadata.role,
        model_id=metadata.model_id,
        seq=metadata.seq,
        size_ns=metadata.size_ns,
        instrument_ids=instrument_ids,
        symbols=metadata.symbols,
        ts_close=ts_close,
        scores=scores,
        ranks=ranks,
        mask=mask,
        warmup=np.array(metadata.warmup, dtype=np.bool_),
    )
    _check(run)
    return run


def _window_of_rows(rows_ts_close: Int64Array, ts_close: Int64Array) -> Int64Array:
    if not len(rows_ts_close):
        return np.empty(0, dtype=np.int64)
    # Rows of a window are neighbors: look up each stretch once, not each row.
    starts = np.concatenate(([0], np.flatnonzero(np.diff(rows_ts_close)) + 1))
    found = rows_ts_close[starts]
    window = np.searchsorted(ts_close, found)
    if (window >= len(ts_close)).any() or (ts_close[window] != found).any():
        raise SchemaError("a row's `ts_close` is not among the run's", field_path="ts_close")
    lengths = np.diff(np.concatenate((starts, [len(rows_ts_close)])))
    return np.repeat(window, lengths)


def _check(run: PredictionRun) -> None:
    checks.check_run_axes(run.size_ns, run.ts_close, run.instrument_ids, run.symbols)
    shape = (len(run.ts_close), len(run.instrument_ids))
    checks.check_shape("mask", run.mask, shape, np.bool_)
    checks.check_shape("scores", run.scores, shape, np.float32)
    checks.check_shape("ranks", run.ranks, shape, np.int32)
    checks.check_shape("warmup", run.warmup, shape[:1], np.bool_)
    checks.check_finite("scores", run.scores)
    # A rank names its place among the present instruments of the window, from 1.
    n_present = run.mask.sum(axis=1, dtype=np.int32)
    if ((run.ranks < 1) == run.mask).any() or (run.ranks > n_present[:, np.newaxis]).any():
        raise SchemaError(
            "`ranks` must be in 1..(present instruments) where `mask` is set and 0 elsewhere",
            field_path="ranks",
        )
    if (run.scores[~run.mask] != 0).any():
        raise SchemaError("`scores` must be 0 where `mask` is not set", field_path="scores")
