"""What an archive keeps of topics other than ticks and snapshots, as tidy tables with each row's offset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from topics.envelope import Envelope
from topics.runs import PredictionRun, WindowRun


@dataclass(frozen=True, slots=True)
class Stored:
    """One message of a topic.

    Attributes
    ----------
    offset
        In its partition.
    time_ns
        Event time, ns: of its latest tick or window; of the producer's clock for control records.
    value
        The decoded run, the JSON text, or the bytes of what could not be read.
    """

    offset: int
    time_ns: int
    key: bytes | None
    envelope: Envelope | None
    value: Any


def prediction_rows(messages: Sequence[Stored]) -> pa.Table:
    """Return predictions, a row for each window and present instrument."""
    return pa.concat_tables([_predictions(message.offset, message.value) for message in messages])


def window_rows(messages: Sequence[Stored]) -> pa.Table:
    """Return closed windows, a row for each instrument that ticked."""
    return pa.concat_tables([_windows(message.offset, message.value) for message in messages])


def message_rows(messages: Sequence[Stored]) -> pa.Table:
    """Return control records, or what could not be read, a row for each message."""
    envelopes = [message.envelope for message in messages]
    values = [message.value for message in messages]
    return pa.table(
        {
            "offset": pa.array([message.offset for message in messages], pa.int64()),
            "time_ns": pa.array([message.time_ns for message in messages], pa.int64()),
            "key": pa.array([message.key for message in messages], pa.binary()),
            "schema": pa.array([None if one is None else one.schema for one in envelopes], pa.string()),
            "version": pa.array([None if one is None else one.version for one in envelopes], pa.int32()),
            "run_id": pa.array([None if one is None else one.run_id for one in envelopes], pa.string()),
            "mode": pa.array([None if one is None else one.mode for one in envelopes], pa.string()),
            "value": pa.array(
                values, pa.string() if all(isinstance(v, str) for v in values) else pa.binary()
            ),
        }
    )


def write_rows(path: Path, table: pa.Table) -> None:
    """Write a table."""
    pq.write_table(table, path, compression="zstd", compression_level=1)


def _predictions(offset: int, run: PredictionRun) -> pa.Table:
    window, position = run.mask.nonzero()
    n_rows = len(window)
    symbols = pa.DictionaryArray.from_arrays(
        pa.array(position.astype(np.int32)), pa.array(run.symbols, pa.string())
    )
    return pa.table(
        {
            "offset": pa.array(np.full(n_rows, offset, np.int64)),
            "universe": _constant(run.universe, n_rows),
            "role": _constant(run.role, n_rows),
            "model_id": _constant(run.model_id, n_rows),
            "seq": pa.array(run.seq + window),
            "size_ns": pa.array(np.full(n_rows, run.size_ns, np.int64)),
            "ts_close": pa.array(run.ts_close[window]),
            "instrument_id": pa.array(run.instrument_ids[position]),
            "symbol": symbols.cast(pa.string()),
            "score": pa.array(run.scores[run.mask]),
            "rank": pa.array(run.ranks[run.mask]),
            "warmup": pa.array(run.warmup[window]),
        }
    )


def _windows(offset: int, run: WindowRun) -> pa.Table:
    rows, n_rows = run.rows, len(run.rows)
    columns: dict[str, pa.Array] = {
        "offset": pa.array(np.full(n_rows, offset, np.int64)),
        "universe": _constant(run.universe, n_rows),
        "tick_partition": pa.array(np.full(n_rows, run.partition, np.int32)),
        "size_ns": pa.array(np.full(n_rows, run.size_ns, np.int64)),
        "frontier_ns": pa.array(np.full(n_rows, run.frontier_ns, np.int64)),
    }
    for name in rows.dtype.names or ():
        columns[name] = pa.array(np.ascontiguousarray(rows[name]))
    return pa.table(columns)


def _constant(text: str, n_rows: int) -> pa.Array:
    return pa.array([text] * n_rows, pa.string())
