"""Closed windows on the wire: one row for each instrument that ticked, plus the partition's frontier."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import numpy as np
import pyarrow as pa

from topics import arrow, checks
from topics.envelope import ARROW, Envelope
from topics.errors import SchemaError
from topics.runs import WINDOW_ROW_DTYPE, WindowRun
from topics.types import RecordArray

WINDOWS_SCHEMA: Final = "windows"
WINDOWS_VERSION: Final = 1

_NAMES: Final = WINDOW_ROW_DTYPE.names or ()
_TYPES: Final = {name: pa.from_numpy_dtype(WINDOW_ROW_DTYPE[name]) for name in _NAMES}
_FLOATS: Final = tuple(name for name in _NAMES if WINDOW_ROW_DTYPE[name].kind == "f")


class _Metadata(msgspec.Struct, frozen=True):
    universe: arrow.Text
    partition: arrow.Index
    size_ns: arrow.PositiveNanos
    # A partition whose ticks all lie before 1970 + lateness has a negative frontier.
    frontier_ns: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


def encode_windows(run: WindowRun) -> bytes:
    """Return a run of windows as an Arrow IPC stream; `rows` may be empty.

    Raises
    ------
    SchemaError
        The rows are not those of closed windows in order.
    MessageTooLarge
        The run does not fit a message: cut it.
    """
    if run.rows.dtype != WINDOW_ROW_DTYPE or run.rows.ndim != 1:
        raise SchemaError("`rows` must be one-dimensional with `WINDOW_ROW_DTYPE`", field_path="rows")
    _check(run)
    columns = {name: arrow.from_numpy(run.rows[name]) for name in _NAMES}
    metadata = _Metadata(run.universe, run.partition, run.size_ns, run.frontier_ns)
    return arrow.write_stream(columns, metadata)


def decode_windows(value: bytes | None, envelope: Envelope) -> WindowRun:
    """Return the run of windows that a message carries.

    Raises
    ------
    UnknownVersion
        Schema or version unknown.
    SchemaError
        The bytes break the schema.
    """
    envelope.require(WINDOWS_SCHEMA, WINDOWS_VERSION, ARROW)
    batch, metadata = arrow.read_stream(value, _TYPES, _Metadata)
    rows: RecordArray = np.empty(batch.num_rows, dtype=WINDOW_ROW_DTYPE)
    for name in _NAMES:
        rows[name] = arrow.column(batch, name, WINDOW_ROW_DTYPE[name].type)
    run = WindowRun(metadata.universe, metadata.partition, metadata.size_ns, metadata.frontier_ns, rows)
    _check(run)
    return run


def _check(run: WindowRun) -> None:
    rows = run.rows
    if not len(rows):
        return
    ts_close, instrument_id = rows["ts_close"], rows["instrument_id"]
    # One comparison for the order of (ts_close, instrument_id): rows of a window ascend by instrument.
    step = np.diff(ts_close)
    descends = (step < 0) | ((step == 0) & (instrument_id[1:] <= instrument_id[:-1]))
    if descends.any():
        row = int(descends.argmax()) + 1
        raise SchemaError(
            f"row {row}: rows must ascend strictly by (ts_close, instrument_id)", field_path=f"rows[{row}]"
        )
    if (ts_close % run.size_ns).any():
        raise SchemaError(
            f"`ts_close` must be a multiple of `size_ns` (={run.size_ns})", field_path="ts_close"
        )
    if int(ts_close[-1]) > run.frontier_ns:
        raise SchemaError(
            f"the last `ts_close` (={int(ts_close[-1])}) is beyond `frontier_ns` (={run.frontier_ns}):"
            " only closed windows travel",
            field_path="frontier_ns",
        )
    if (rows["n_ticks"] <= 0).any() or (instrument_id == 0).any():
        raise SchemaError("a row must hold an instrument and at least one tick", field_path="n_ticks")
    for name in _FLOATS:
        checks.check_finite(name, rows[name])
