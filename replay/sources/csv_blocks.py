"""CSV as Arrow batches, parsed by Arrow block by block, with its complaints turned into rows of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv

from replay.errors import CorruptFile, InvalidRow

_BYTES_A_ROW: Final = 32
_CONVERSION: Final = re.compile(
    r"In CSV column #(\d+): Row #(\d+): CSV conversion error to (\S+): (.*)", re.S
)
_PARSE: Final = re.compile(r"CSV parse error: Row #(\d+): Expected (\d+) columns, got (\d+)", re.S)
_VALUE: Final = re.compile(r"invalid value '(.*)'", re.S)


def csv_batches(
    stream: Any,
    file: Path | str,
    *,
    columns: Sequence[str],
    types: dict[str, pa.DataType],
    chunk_rows: int,
    has_header: bool = False,
    include: Sequence[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield a CSV stream as record batches of about `chunk_rows` rows, in order.

    Parameters
    ----------
    stream
        Path, or anything with `read`.
    columns
        All columns of the file.
    types
        Types of columns; the others are inferred.
    has_header
        Whether the first line names the columns.
    include
        Columns wanted; None for all.

    Raises
    ------
    InvalidRow
        A value does not parse, or a row has too few or too many columns.
    CorruptFile
        The stream cannot be read or is no CSV.
    """
    try:
        with pyarrow.csv.open_csv(
            stream,
            read_options=pyarrow.csv.ReadOptions(
                # One thread: Arrow knows the row of an error only then, and replays share a core anyway.
                use_threads=False,
                block_size=max(1024, chunk_rows * _BYTES_A_ROW),
                column_names=columns,
                skip_rows=1 if has_header else 0,
            ),
            convert_options=pyarrow.csv.ConvertOptions(column_types=types, include_columns=include),
        ) as reader:
            yield from reader
    except pa.ArrowInvalid as error:
        raise _named(str(error), file, 1 if has_header else 0, columns) from error
    except (OSError, pa.ArrowException) as error:
        raise CorruptFile(f"{file}: {error}") from error


def _named(message: str, file: Path | str, header_rows: int, columns: Sequence[str]) -> Exception:
    conversion = _CONVERSION.search(message)
    if conversion:
        number, row = int(conversion[1]), int(conversion[2]) - header_rows
        column = columns[number] if number < len(columns) else f"column {number + 1}"
        found = _VALUE.search(conversion[4])
        return InvalidRow(
            file, row, column, repr(found[1] if found else ""), f"must be of type {conversion[3]}"
        )
    parse = _PARSE.search(message)
    if parse:
        row = int(parse[1]) - header_rows
        return InvalidRow(file, row, "columns", int(parse[3]), f"must be {parse[2]} in number")
    return CorruptFile(f"{file}: {message}")
