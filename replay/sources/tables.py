"""Tables of Parquet, Arrow IPC and CSV files as Arrow batches, and what kind of ticks their columns hold."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from replay.errors import CorruptFile, SchemaMismatch
from replay.sources.base import Selection
from replay.sources.columns import Columns
from replay.sources.csv_blocks import csv_batches

Kind = Literal["trades", "quotes", "bars", "panel"]
Format = Literal["parquet", "arrow", "csv"]

ALIASES: Final = {
    "bid_px_00": "bid_price",
    "ask_px_00": "ask_price",
    "bid_sz_00": "bid_size",
    "ask_sz_00": "ask_size",
    "adj close": "adjusted_close",
    "adj_close": "adjusted_close",
    "adjclose": "adjusted_close",
    "adj. close": "adjusted_close",
}
"""Column names of Databento and of Yahoo for what these readers call by the plainer one."""

_OHLC: Final = ("open", "high", "low", "close")
_TEXT: Final = ("symbol", "side", "action", "type")
_NUMBERS: Final = (
    "price",
    "size",
    "bid_price",
    "ask_price",
    "bid_size",
    "ask_size",
    "volume",
    "adjusted_close",
    *_OHLC,
)
_TIMES: Final = ("ts_event", "ts_recv", "date")
_KNOWN: Final = frozenset((*_TEXT, *_NUMBERS, *_TIMES))
_COLUMNS_SHOWN: Final = 12

_TEXT_TYPE: Final = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows, opened anew for every pass.

    Attributes
    ----------
    columns
        Column in the file, by the name that readers use.
    """

    path: Path
    format: Format
    columns: dict[str, str]
    all_columns: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        """What the rows are, by their columns.

        Raises
        ------
        SchemaMismatch
            The columns make no tick, bar or panel.
        """
        has = self.columns.keys()
        if "symbol" in has:
            if {"date", "close"} <= has and "ts_event" not in has:
                return "panel"
            if {"ts_event", *_OHLC, "volume"} <= has:
                return "bars"
            if {"ts_event", "bid_price", "ask_price"} <= has:
                return "quotes"
            if {"ts_event", "price", "size"} <= has:
                return "trades"
        shown = ", ".join(self.all_columns[:_COLUMNS_SHOWN])
        more = len(self.all_columns) - _COLUMNS_SHOWN
        raise SchemaMismatch(
            f"{self.path}: columns {shown}{f' and {more:,} more' if more > 0 else ''} make no ticks; trades need"
            " ts_event, symbol, price, size; quotes ts_event, symbol, bid_price, ask_price; bars ts_event, symbol,"
            " open, high, low, close, volume; a daily panel date, symbol, close and, where there are some, open,"
            " high, low, volume, adjusted_close: one row a day and instrument, not one column an instrument"
        )

    def batches(self, chunk_rows: int, wanted: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the known columns as batches of at most about `chunk_rows` rows, under the readers' names.

        Raises
        ------
        InvalidRow
            A CSV value does not parse.
        CorruptFile
            The file cannot be decoded.
        """
        columns = self.columns if wanted is None else {name: self.columns[name] for name in wanted}
        for batch in self._raw(chunk_rows, list(columns.values())):
            yield pa.RecordBatch.from_arrays(
                [batch.column(actual) for actual in columns.values()], names=list(columns)
            )

    def symbols(self, selection: Selection) -> tuple[str, ...]:
        """Return the selected symbols, sorted, from a pass over that column.

        Raises
        ------
        InvalidRow
            A row without a symbol.
        """
        found: set[str] = set()
        row = 1
        for batch in self.batches(selection.chunk_rows, ["symbol"]):
            texts, indices = Columns(self.path, batch, row).symbols()
            found.update(texts[index] for index in np.flatnonzero(np.bincount(indices)).tolist())
            row += batch.num_rows
        return tuple(sorted(symbol for symbol in found if selection.wants(symbol)))

    def _raw(self, chunk_rows: int, actual: list[str]) -> Iterator[pa.RecordBatch]:
        if self.format == "csv":
            types = {
                column: pa.float64() if name in _NUMBERS else _TEXT_TYPE
                for name, column in self.columns.items()
                if name not in _TIMES
            }
            with pa.input_stream(str(self.path), compression="detect") as stream:
                yield from csv_batches(
                    stream,
                    self.path,
                    columns=self.all_columns,
                    include=actual,
                    types=types,
                    chunk_rows=chunk_rows,
                    has_header=True,
                )
            return
        try:
            if self.format == "parquet":
                text = [self.columns[name] for name in _TEXT if name in self.columns]
                with pq.ParquetFile(self.path, read_dictionary=text) as file:
                    yield from file.iter_batches(batch_size=chunk_rows, columns=actual, use_threads=False)
            else:
                with pa.memory_map(str(self.path)) as mapped, pyarrow.ipc.open_file(mapped) as reader:
                    for index in range(reader.num_record_batches):
                        batch = reader.get_batch(index)
                        for start in range(0, batch.num_rows, chunk_rows):
                            yield batch.slice(start, chunk_rows).select(actual)
        except (OSError, pa.ArrowException) as error:
            raise CorruptFile(f"{self.path}: {error}") from error


def open_table(path: Path, file_format: Format) -> Table:
    """Read a file's column names.

    Raises
    ------
    CorruptFile
        The file is no table of that format.
    SchemaMismatch
        A column is there twice.
    """
    try:
        names = _column_names(path, file_format)
    except (OSError, pa.ArrowException, UnicodeDecodeError, StopIteration, csv.Error) as error:
        raise CorruptFile(f"{path}: no {file_format} table: {error or 'it is empty'}") from error
    columns: dict[str, str] = {}
    for name in names:
        plain = name.strip().lower()
        plain = ALIASES.get(plain, plain)
        if plain not in _KNOWN:
            continue
        if plain in columns:
            raise SchemaMismatch(f"{path}: the columns {columns[plain]!r} and {name!r} are both `{plain}`")
        columns[plain] = name
    return Table(path, file_format, columns, tuple(names))


def _column_names(path: Path, file_format: Format) -> list[str]:
    if file_format == "parquet":
        with pq.ParquetFile(path) as file:
            return list(file.schema_arrow.names)
    if file_format == "arrow":
        with pa.memory_map(str(path)) as mapped:
            return list(pyarrow.ipc.open_file(mapped).schema.names)
    with pa.input_stream(str(path), compression="detect") as stream:
        first_line = stream.read(64 * 1024).split(b"\n", 1)[0]
    return next(csv.reader([first_line.decode("utf-8-sig")]))
