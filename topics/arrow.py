"""What the Arrow codecs share: one IPC stream of one batch, its metadata as JSON, checks before any use.

Rows are tidy, so that `polars.read_ipc_stream(value)` shows a message; what the rows cannot say (the axes of
a run, its identity) is JSON under one key of the schema's metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from topics.envelope import MAX_MESSAGE_BYTES
from topics.errors import MessageTooLarge, SchemaError
from topics.types import BoolArray

METADATA_KEY: Final = b"cs3g"
MetadataT = TypeVar("MetadataT", bound=msgspec.Struct)
ScalarT = TypeVar("ScalarT", bound=np.generic)

# Threads would only compete with the workers that share the machine.
_WRITE_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_READ_OPTIONS: Final = pa.ipc.IpcReadOptions(use_threads=False)

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Index = Annotated[int, msgspec.Meta(ge=0)]
PositiveNanos = Annotated[int, msgspec.Meta(gt=0)]


def write_stream(columns: Mapping[str, pa.Array], metadata: msgspec.Struct) -> bytes:
    """Return one Arrow IPC stream of one record batch, its buffers compressed with lz4.

    Raises
    ------
    MessageTooLarge
        The stream is beyond `MAX_MESSAGE_BYTES`: cut the run.
    """
    fields = [pa.field(name, array.type, nullable=False) for name, array in columns.items()]
    schema = pa.schema(fields, metadata={METADATA_KEY: msgspec.json.encode(metadata)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=_WRITE_OPTIONS) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(list(columns.values()), schema=schema))
    value: bytes = sink.getvalue().to_pybytes()
    if len(value) > MAX_MESSAGE_BYTES:
        raise MessageTooLarge(
            f"the encoded run has {len(value)} bytes, a message holds {MAX_MESSAGE_BYTES}: cut the run"
        )
    return value


def read_stream(
    value: bytes | None, types: Mapping[str, pa.DataType], metadata_type: type[MetadataT]
) -> tuple[pa.RecordBatch, MetadataT]:
    """Return the batch and the metadata of a stream, both checked.

    Parameters
    ----------
    types
        Required columns. Others are ignored, so that a later release may add some.

    Raises
    ------
    SchemaError
        Not an Arrow stream of one valid batch, a column missing, of another type or with nulls, or the
        metadata breaks its type.
    MessageTooLarge
        The value is beyond `MAX_MESSAGE_BYTES`.
    """
    if not value:
        raise SchemaError("the value is empty; an Arrow stream was expected")
    if len(value) > MAX_MESSAGE_BYTES:
        raise MessageTooLarge(f"the value has {len(value)} bytes, a message holds {MAX_MESSAGE_BYTES}")
    try:
        with pa.ipc.open_stream(value, options=_READ_OPTIONS) as reader:
            schema = reader.schema
            batch = reader.read_next_batch()
            batch.validate(full=True)
    # An invalid stream comes as ArrowInvalid (a ValueError), a truncated one as OSError or StopIteration,
    # a hostile length as MemoryError.
    except (pa.ArrowException, OSError, ValueError, StopIteration, MemoryError) as error:
        raise SchemaError(f"the value is no valid Arrow IPC stream: {error or 'no batch'}") from error
    for name, expected in types.items():
        index = schema.get_field_index(name)
        if index < 0:
            raise SchemaError(f"column `{name}` is missing or doubled", field_path=name)
        found = schema.field(index).type
        if found != expected:
            raise SchemaError(f"column `{name}` must be {expected}, was {found}", field_path=name)
        if batch.column(index).null_count:
            raise SchemaError(f"column `{name}` must not hold nulls", field_path=name)
    return batch, _read_metadata(schema.metadata, metadata_type)


def _read_metadata(metadata: Mapping[bytes, bytes] | None, metadata_type: type[MetadataT]) -> MetadataT:
    raw = (metadata or {}).get(METADATA_KEY)
    if raw is None:
        raise SchemaError(f"schema metadata {METADATA_KEY.decode()!r} is missing", field_path="metadata")
    try:
        return msgspec.json.decode(raw, type=metadata_type)
    except msgspec.ValidationError as error:
        path = str(error).partition(" - at `")[2].rstrip("`")
        raise SchemaError(f"stream metadata: {error}", field_path=path) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SchemaError(f"stream metadata: {error}", field_path="metadata") from error


def column(batch: pa.RecordBatch, name: str, dtype: type[ScalarT]) -> NDArray[ScalarT]:
    """Return a fixed-width column as a writable array, without a copy where the decoder owns the buffer."""
    return _writable(batch.column(batch.schema.get_field_index(name)), dtype)


def bool_column(batch: pa.RecordBatch, name: str) -> BoolArray:
    """Return a column of bits as a writable array of bool."""
    array = batch.column(batch.schema.get_field_index(name))
    if not len(array):
        return np.empty(0, np.bool_)
    packed = np.frombuffer(array.buffers()[1], np.uint8)
    bits = np.unpackbits(packed, count=array.offset + len(array), bitorder="little")
    return bits[array.offset :].view(np.bool_)


def index_column(batch: pa.RecordBatch, name: str) -> NDArray[np.int32]:
    """Return the indices of a dictionary column."""
    return _writable(batch.column(batch.schema.get_field_index(name)).indices, np.int32)


def _writable(array: pa.Array, dtype: type[ScalarT]) -> NDArray[ScalarT]:
    if not len(array):
        return np.empty(0, dtype=dtype)
    width = np.dtype(dtype).itemsize
    view: NDArray[ScalarT] = np.frombuffer(
        array.buffers()[1], dtype=dtype, count=len(array), offset=array.offset * width
    )
    # A buffer that lz4 could not shrink is a read-only slice of the message itself.
    return view if view.flags.writeable else view.copy()


def vector_column(
    batch: pa.RecordBatch, name: str, shape: tuple[int, ...], dtype: type[ScalarT]
) -> NDArray[ScalarT]:
    """Return a column of fixed-size lists as (..., W); an absent column stands for W = 0.

    Raises
    ------
    SchemaError
        The column is missing or of another type than the shape and dtype ask for.
    """
    if not shape[-1]:
        return np.empty(shape, dtype=dtype)
    expected = pa.list_(pa.from_numpy_dtype(dtype), shape[-1])
    index = batch.schema.get_field_index(name)
    if index < 0:
        raise SchemaError(f"column `{name}` is missing or doubled", field_path=name)
    array = batch.column(index)
    if array.type != expected:
        raise SchemaError(f"column `{name}` must be {expected}, was {array.type}", field_path=name)
    values = array.values.slice(array.offset * shape[-1], len(array) * shape[-1])
    if array.null_count or values.null_count:
        raise SchemaError(f"column `{name}` must not hold nulls", field_path=name)
    return _writable(values, dtype).reshape(shape)


def axis(name: str, values: Sequence[int], dtype: type[ScalarT]) -> NDArray[ScalarT]:
    """Return metadata's integers as an array.

    Raises
    ------
    SchemaError
        A number does not fit the dtype.
    """
    try:
        return np.array(values, dtype=dtype)
    except OverflowError as error:
        raise SchemaError(f"`{name}` must fit {np.dtype(dtype)}: {error}", field_path=name) from error


def from_numpy(values: NDArray[Any]) -> pa.Array:
    """Return an array of integers, floats or bools as an Arrow column, without a copy where it is contiguous.

    Bools are packed. From buffers, because `pa.array` imports pandas where that is installed: half a second.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    data = np.packbits(flat, bitorder="little") if flat.dtype == np.bool_ else flat
    return pa.Array.from_buffers(pa.from_numpy_dtype(flat.dtype), flat.size, [None, pa.py_buffer(data)])


def vectors(values: NDArray[Any]) -> pa.Array:
    """Return (..., W) values as a column of fixed-size lists of W."""
    return pa.FixedSizeListArray.from_arrays(from_numpy(values.reshape(-1)), values.shape[-1])


def symbols_column(positions: NDArray[np.int32], symbols: Sequence[str]) -> pa.Array:
    """Return names as a dictionary column: one index a row."""
    return pa.DictionaryArray.from_arrays(from_numpy(positions), _names(tuple(symbols)))


@lru_cache(maxsize=4)
def _names(symbols: tuple[str, ...]) -> pa.Array:
    # From message to message they are the same.
    encoded = [symbol.encode() for symbol in symbols]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


SYMBOL_TYPE: Final = pa.dictionary(pa.int32(), pa.string())
