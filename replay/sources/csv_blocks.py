"""CSV as Arrow batches, a block of lines at a time, with Arrow's complaints turned into rows of the file.

Arrow's own streaming reader reads 32 blocks ahead; here nothing is held but the block in hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final

import pyarrow as pa
import pyarrow.csv

from replay.errors import CorruptFile, InvalidRow

_BYTES_A_ROW: Final = 32
_LONGEST_LINE: Final = 1024 * 1024
_CONVERSION: Final = re.compile(
    r"In CSV column #(\d+): Row #(\d+): CSV conversion error to (\S+): (.*)", re.S
)
_PARSE: Final = re.compile(r"CSV parse error: Row #(\d+): Expected (\d+) columns, got (\d+)", re.S)
_VALUE: Final = re.compile(r"invalid value '(.*)'", re.S)


def csv_batches(
    stream: IO[bytes],
    file: Path | str,
    *,
    columns: Sequence[str],
    include: Sequence[str],
    types: dict[str, pa.DataType],
    chunk_rows: int,
    has_header: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Yield some columns of a CSV stream as record batches of about `chunk_rows` rows, in order.

    Parameters
    ----------
    columns
        All columns of the file.
    include
        Columns wanted.
    types
        Types of columns; the others are inferred from the first block.
    has_header
        Whether the first line names the columns.

    Raises
    ------
    InvalidRow
        A value does not parse, or a row has too few or too many columns.
    CorruptFile
        The stream cannot be read or is no CSV.
    """
    types = dict(types)
    first_row = 1
    skip_rows = 1 if has_header else 0
    for block in _blocks(stream, file, max(1024, chunk_rows * _BYTES_A_ROW)):
        try:
            table = pyarrow.csv.read_csv(
                pa.BufferReader(block),
                read_options=pyarrow.csv.ReadOptions(
                    # One thread: Arrow knows the row of an error only then, and replays share a core anyway.
                    use_threads=False,
                    block_size=len(block) + 1,
                    column_names=columns,
                    skip_rows=skip_rows,
                ),
                convert_options=pyarrow.csv.ConvertOptions(column_types=types, include_columns=include),
            )
        except pa.ArrowInvalid as error:
            raise _named(str(error), file, first_row - 1 - skip_rows, columns) from error
        skip_rows = 0
        for batch in table.combine_chunks().to_batches():
            for field in batch.schema:
                types.setdefault(field.name, _fixed(field.type))
            yield batch
            first_row += batch.num_rows


def _blocks(stream: IO[bytes], file: Path | str, size: int) -> Iterator[bytes]:
    """Yield whole lines, about `size` bytes at a time."""
    rest = b""
    is_empty = True
    while True:
        try:
            data = stream.read(size)
        except OSError as error:
            raise CorruptFile(f"{file}: {error}; fetch the file again") from error
        end = data.rfind(b"\n") + 1 if data else len(rest)
        if data and not end:
            rest += data
            if len(rest) > _LONGEST_LINE:
                raise CorruptFile(
                    f"{file}: a line is longer than {_LONGEST_LINE} bytes; this is no CSV of ticks"
                )
            continue
        block, rest = (rest + data[:end], data[end:]) if data else (rest, b"")
        if block.strip():
            is_empty = False
            yield block
        if not data:
            break
    if is_empty:
        raise CorruptFile(f"{file}: the CSV is empty")


def _fixed(inferred: pa.DataType) -> pa.DataType:
    # Whole seconds in the first block must not forbid fractions later.
    return pa.timestamp("ns", inferred.tz) if pa.types.is_timestamp(inferred) else inferred


def _named(message: str, file: Path | str, rows_before: int, columns: Sequence[str]) -> Exception:
    conversion = _CONVERSION.search(message)
    if conversion:
        number, row = int(conversion[1]), int(conversion[2]) + rows_before
        column = columns[number] if number < len(columns) else f"column {number + 1}"
        found = _VALUE.search(conversion[4])
        return InvalidRow(
            file, row, column, repr(found[1] if found else ""), f"must be of type {conversion[3]}"
        )
    parse = _PARSE.search(message)
    if parse:
        row = int(parse[1]) + rows_before
        return InvalidRow(file, row, "columns", int(parse[3]), f"must be {parse[2]} in number")
    return CorruptFile(f"{file}: {message}")
