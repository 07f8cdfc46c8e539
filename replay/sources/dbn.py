"""DBN files, plain or in zstd frames, of every version: records are read as they lie, by `numpy`.

What is compressed is told by the first bytes, not by the name. Symbols come from the metadata.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import databento_dbn
import numpy as np
import pyarrow as pa

from replay.errors import CorruptFile, InvalidRow, SchemaMismatch
from replay.sources.base import Block, Selection, StreamSource, Tally, flatnonzero
from replay.sources.dbn_symbols import SymbolTable, mapped_intervals, unmapped
from replay.sources.rows import admit, in_order
from topics.ticks import BBO_DTYPE, SCHEMAS, TickSchema
from topics.types import RecordArray

MAGIC: Final = b"DBN"
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"

_MAX_METADATA_BYTES: Final = 64 * 1024 * 1024


def dbn_source(path: Path, selection: Selection) -> StreamSource:
    """Return the ticks of one DBN file.

    Raises
    ------
    CorruptFile
        Truncated or damaged, or no DBN file.
    SchemaMismatch
        A schema that a tick topic does not carry.
    """
    with _open(path) as stream:
        metadata = _read_metadata(stream, path)
    schema = SCHEMAS.get(str(metadata.schema))
    if schema is None:
        held = "several schemas (a live capture)" if metadata.schema is None else f"schema {metadata.schema}"
        raise SchemaMismatch(f"{path}: holds {held}; replayed are {', '.join(SCHEMAS)}")
    has_ts_out = bool(metadata.ts_out)
    intervals = mapped_intervals(metadata, path)
    if not intervals:
        intervals = unmapped(_instrument_ids(path, schema, has_ts_out, selection.chunk_rows))
    table = SymbolTable(intervals, selection)
    has_ts_recv = "ts_recv" in (schema.dtype.names or ())
    clock = selection.clock if has_ts_recv else "ts_event"

    def read(tally: Tally) -> Iterator[RecordArray]:
        return in_order(blocks(tally), clock, path, selection.chunk_rows)

    def blocks(tally: Tally) -> Iterator[Block]:
        for block in _raw_blocks(path, schema, has_ts_out, selection.chunk_rows):
            records = block.records
            if schema.dtype == BBO_DTYPE:
                # A sampled quote's ts_event is that of the last trade, undefined before the first one; what
                # happened at the end of the interval, which ts_recv holds, is that this quote stood.
                records["ts_event"] = records["ts_recv"]
                tally.corrected["event_time_of_interval"] += len(records)
            mapped_by = records["ts_recv" if has_ts_recv else "ts_event"]
            positions, unknown = table.positions(records["instrument_id"], mapped_by)
            if unknown.any():
                first = int(unknown.argmax())
                raise InvalidRow(
                    path,
                    block.row_of(first),
                    "instrument_id",
                    int(records["instrument_id"][first]),
                    "is not in the file's symbol mappings",
                )
            records["instrument_id"] = positions
            if selection.symbols is not None:
                block = block.take(flatnonzero(positions != 0))
            yield admit(block, schema.name, path, tally)

    return StreamSource(str(path), schema.name, clock, table.symbols, read)


def _open(path: Path) -> BinaryIO:
    file = path.open("rb")
    magic = file.read(len(ZSTD_MAGIC))
    file.seek(0)
    if magic != ZSTD_MAGIC:
        return file
    # Unlike python-zstandard's reader this one tells a truncated frame from a finished one.
    stream: BinaryIO = pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")
    return stream


def _read_metadata(stream: BinaryIO, path: Path) -> Any:
    prefix = _read_exactly(stream, 8, path)
    if prefix[:3] != MAGIC:
        raise CorruptFile(f"{path}: does not start with DBN metadata; fragments cannot be replayed")
    length = int.from_bytes(prefix[4:8], "little")
    if length > _MAX_METADATA_BYTES:
        raise CorruptFile(f"{path}: the metadata claims {length} bytes, allowed are {_MAX_METADATA_BYTES}")
    body = _read_exactly(stream, length, path)
    try:
        return databento_dbn.Metadata.decode(prefix + body)
    except (databento_dbn.DBNError, ValueError) as error:
        raise CorruptFile(f"{path}: the DBN metadata cannot be decoded: {error}") from error


def _read_exactly(stream: BinaryIO, size: int, path: Path) -> bytes:
    try:
        data = stream.read(size)
    except OSError as error:
        raise CorruptFile(f"{path}: {error}") from error
    if len(data) < size:
        raise CorruptFile(f"{path}: ends after {len(data)} of {size} bytes of DBN metadata")
    return data


def _raw_blocks(path: Path, schema: TickSchema, has_ts_out: bool, chunk_rows: int) -> Iterator[Block]:
    size = schema.dtype.itemsize + (8 if has_ts_out else 0)
    first_row = 1
    with _open(path) as stream:
        _read_metadata(stream, path)
        while True:
            buffer = bytearray(chunk_rows * size)
            filled = _fill(stream, buffer, path, first_row)
            n_records, rest = divmod(filled, size)
            if rest:
                raise CorruptFile(
                    f"{path}: record {first_row + n_records} is cut off after {rest} of {size} bytes;"
                    " fetch the file again"
                )
            if not n_records:
                return
            rows = np.frombuffer(buffer, dtype=np.uint8, count=filled).reshape(n_records, size)
            records: RecordArray = np.ascontiguousarray(rows[:, : schema.dtype.itemsize]).view(schema.dtype)[
                :, 0
            ]
            _check_headers(records, schema, size, path, first_row)
            records["length"] = schema.length
            yield Block(records, first_row)
            first_row += n_records


def _fill(stream: BinaryIO, buffer: bytearray, path: Path, row: int) -> int:
    view = memoryview(buffer)
    filled = 0
    while filled < len(view):
        try:
            # Both a buffered file and Arrow's stream have it; the typed base class does not.
            count: int = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        except OSError as error:
            raise CorruptFile(f"{path}: after record {row - 1}: {error}; fetch the file again") from error
        if not count:
            break
        filled += count
    return filled


def _check_headers(records: RecordArray, schema: TickSchema, size: int, path: Path, first_row: int) -> None:
    wrong = (records["rtype"] != schema.rtype) | (records["length"] != size // 4)
    if wrong.any():
        first = int(wrong.argmax())
        record = records[first]
        raise CorruptFile(
            f"{path}: record {first_row + first} has type {int(record['rtype'])} and length"
            f" {int(record['length'])}; schema {schema.name} has {schema.rtype} and {size // 4}"
        )


def _instrument_ids(path: Path, schema: TickSchema, has_ts_out: bool, chunk_rows: int) -> set[int]:
    found: set[int] = set()
    for block in _raw_blocks(path, schema, has_ts_out, chunk_rows):
        found.update(np.unique(block.records["instrument_id"]).tolist())
    return found
