"""DBN records as a Parquet table and back: a column for each field of the schema, and each row's offset.

Rows keep the order of their partition, messages theirs by the offset; no bit of a record is lost, reserved
bytes included.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.errors import ArchiveError
from topics.ticks import tick_schema
from topics.types import Int64Array, RecordArray

OFFSET: Final = "offset"
_GROUP_ROWS: Final = 1 << 16
# Of the rest a dictionary would hold nearly every value.
_REPEATED: Final = ("length", "rtype", "publisher_id", "instrument_id", "action", "side", "flags", "depth")
_ASCENDING: Final = (OFFSET, "ts_event", "ts_recv", "sequence")


def write_tick_table(path: Path, records: RecordArray, offsets: Int64Array) -> None:
    """Write records of one schema, (n,), with the offset of each one's message."""
    columns = {OFFSET: pa.array(offsets)}
    for name in records.dtype.names or ():
        columns[name] = _column(np.ascontiguousarray(records[name]))
    table = pa.table(columns)
    pq.write_table(
        table,
        path,
        row_group_size=_GROUP_ROWS,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in _REPEATED if name in columns],
        column_encoding={name: "DELTA_BINARY_PACKED" for name in _ASCENDING if name in columns},
    )


def read_tick_table(
    path: Path, schema_name: str, chunk_rows: int
) -> Iterator[tuple[RecordArray, Int64Array]]:
    """Yield the records and offsets of a table, at most `chunk_rows` at once.

    Raises
    ------
    ArchiveError
        The file is damaged, or holds another schema's records.
    """
    dtype = tick_schema(schema_name).dtype
    names = [OFFSET, *(dtype.names or ())]
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(chunk_rows, columns=names, use_threads=False):
                records: RecordArray = np.empty(batch.num_rows, dtype)
                for name in dtype.names or ():
                    records[name] = _values(batch.column(batch.schema.get_field_index(name)), dtype[name])
                offsets: Int64Array = batch.column(batch.schema.get_field_index(OFFSET)).to_numpy()
                yield records, offsets
    except (pa.ArrowException, OSError, ValueError, IndexError) as error:
        raise ArchiveError(f"{path}: is no table of {schema_name} records: {error}") from error


def _column(values: NDArray[Any]) -> pa.Array:
    if values.dtype.kind != "S":
        return pa.array(values)
    # Bytes of a fixed width; numpy would cut zeros from their ends.
    width = values.dtype.itemsize
    return pa.Array.from_buffers(pa.binary(width), len(values), [None, pa.py_buffer(values.view(np.uint8))])


def _values(array: pa.Array, dtype: np.dtype[Any]) -> NDArray[Any]:
    if array.null_count:
        raise ValueError("a field holds nulls")
    if dtype.kind != "S":
        numbers: NDArray[Any] = array.to_numpy()
        if numbers.dtype != dtype:
            raise ValueError(f"a field must hold {dtype}, holds {numbers.dtype}")
        return numbers
    if array.type != pa.binary(dtype.itemsize):
        raise ValueError(f"a field must hold {dtype.itemsize} bytes, holds {array.type}")
    view: NDArray[Any] = np.frombuffer(
        array.buffers()[1], dtype=dtype, count=len(array), offset=array.offset * dtype.itemsize
    )
    return view
