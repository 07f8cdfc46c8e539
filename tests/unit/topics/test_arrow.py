"""Columns made from buffers are those that pyarrow makes itself, and cost no import of pandas."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from topics import arrow

ARRAYS = {
    "empty": np.zeros(0, np.int64),
    "floats": np.arange(3, dtype=np.float32),
    "not a number": np.array([np.nan, 1.0]),
    "strided": np.arange(8, dtype=np.uint32)[::2],
    "bools": np.array([True, False, True] * 7),
    "no bools": np.zeros(0, np.bool_),
}


def stream(column: pa.Array) -> bytes:
    schema = pa.schema([pa.field("x", column.type, nullable=False)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([column], schema=schema))
    return bytes(sink.getvalue())


@pytest.mark.parametrize("values", ARRAYS.values(), ids=ARRAYS.keys())
def test_numbers_are_the_same_bytes_as_by_pyarrow(values: Any) -> None:
    column = arrow.from_numpy(values)
    column.validate(full=True)
    assert stream(column) == stream(pa.array(np.ascontiguousarray(values)))


@pytest.mark.parametrize("symbols", [(), ("A", "Bé", "", "CC")], ids=["none", "some"])
def test_symbols_are_the_same_bytes_as_by_pyarrow(symbols: tuple[str, ...]) -> None:
    positions = np.arange(len(symbols), dtype=np.int32)
    column = arrow.symbols_column(positions, symbols)
    column.validate(full=True)
    names = pa.array(symbols, type=pa.string())
    assert stream(column) == stream(pa.DictionaryArray.from_arrays(pa.array(positions), names))


def test_messages_are_coded_without_pandas() -> None:
    # Half a second of a worker's start, and tens of megabytes.
    script = """
import sys
from tests.unit.topics.factories import make_graphs, make_predictions, make_windows
from topics.envelope import ARROW, Envelope
from topics.graphs_codec import decode_graphs, encode_graphs
from topics.predictions_codec import decode_predictions, encode_predictions
from topics.windows_codec import decode_windows, encode_windows
decode_windows(encode_windows(make_windows()), Envelope("windows", 1, ARROW))
decode_graphs(encode_graphs(make_graphs()), Envelope("graphs", 2, ARROW))
decode_predictions(encode_predictions(make_predictions()), Envelope("predictions", 1, ARROW))
sys.exit("pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
