"""Columns of an Arrow batch as the integers of a record; what does not fit is refused at its row."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from replay.errors import InvalidRow, SchemaMismatch
from topics.types import (
    NANOS_PER_DAY,
    PRICE_SCALE,
    UNDEF_PRICE,
    Float64Array,
    Int64Array,
    UInt32Array,
)
from topics.validity import MAX_PRICE

_SIDES: Final = {"B": b"B", "BUY": b"B", "A": b"A", "S": b"A", "SELL": b"A", "N": b"N", "": b"N"}
_EPOCH_ORDINAL: Final = dt.date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Columns:
    """A batch of a file's rows, of which some may have been left out.

    Attributes
    ----------
    first_row
        1-based row in the file of the batch's first row, before any were left out.
    kept
        Positions in the batch of the rows that are here, None for all.
    """

    file: Path | str
    batch: pa.RecordBatch
    first_row: int
    kept: Int64Array | None = None

    def __contains__(self, name: str) -> bool:
        return name in self.batch.schema.names

    def take(self, positions: Int64Array) -> Columns:
        """Return only some of the rows; call it once."""
        arrays = [
            # Arrow cannot take from views, which is what polars writes text as.
            column.cast(pa.string()) if pa.types.is_string_view(column.type) else column
            for column in self.batch.columns
        ]
        batch = pa.RecordBatch.from_arrays(arrays, names=self.batch.schema.names)
        return Columns(self.file, batch.take(pa.array(positions)), self.first_row, positions)

    def refuse(self, name: str, wrong: NDArray[np.bool_], values: NDArray[Any], rule: str) -> None:
        """Raise for the first wrong row.

        Raises
        ------
        InvalidRow
            A row is wrong.
        """
        if wrong.any():
            position = int(wrong.argmax())
            row = self.first_row + (position if self.kept is None else int(self.kept[position]))
            raise InvalidRow(self.file, row, name, values[position], rule)

    def has_gaps(self, name: str) -> bool:
        """Return whether a column of numbers has a null or NaN."""
        column = self.batch.column(name)
        return bool(column.null_count) or (
            pa.types.is_floating(column.type) and bool(pc.any(pc.is_nan(column)).as_py())
        )

    def numbers(self, name: str) -> Float64Array:
        """Return a column of numbers as (n,) float64, NaN where it is null."""
        column = self.batch.column(name)
        if not (
            pa.types.is_floating(column.type)
            or pa.types.is_integer(column.type)
            or pa.types.is_decimal(column.type)
        ):
            raise SchemaMismatch(f"{self.file}: column `{name}` must hold numbers, holds {column.type}")
        values: Float64Array = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return values

    def prices(self, name: str, *, factor: Float64Array | None = None, optional: bool = False) -> Int64Array:
        """Return a price column in 1e-9, (n,) int64.

        Parameters
        ----------
        factor
            (n,) to multiply the prices by before they are rounded.
        optional
            Null and NaN become `UNDEF_PRICE`; else they are refused.
        """
        if pa.types.is_integer(self.batch.column(name).type):
            raise SchemaMismatch(
                f"{self.file}: column `{name}` holds integers, whose unit nobody can tell;"
                " store prices in units of the currency as floating point numbers"
            )
        values = self.numbers(name)
        scaled = values if factor is None else values * factor
        largest = MAX_PRICE / PRICE_SCALE
        # Most batches hold only good prices, which two passes tell; NaN makes the comparison false.
        if len(values) and values.min() >= 0 and scaled.max() <= largest:
            good: Int64Array = np.rint(scaled * PRICE_SCALE).astype(np.int64)
            return good
        undefined = np.isnan(values)
        if not optional:
            self.refuse(name, undefined, values, "must be a price")
        self.refuse(name, values < 0, values, "must not be negative")
        self.refuse(name, scaled > largest, scaled, f"must be at most {largest:.0f}")
        nanos: Int64Array = np.rint(np.where(undefined, 0.0, scaled) * PRICE_SCALE).astype(np.int64)
        nanos[undefined] = UNDEF_PRICE
        return nanos

    def sizes(self, name: str, *, limit: int, optional: bool = False) -> NDArray[np.uint64]:
        """Return whole numbers in 0..limit as (n,) uint64; null is 0 where `optional`, else refused."""
        column = self.batch.column(name)
        if pa.types.is_integer(column.type) and not column.null_count and len(column):
            whole: NDArray[np.integer[Any]] = column.to_numpy()
            if whole.min() >= 0 and whole.max() <= limit:
                return whole.astype(np.uint64)
        values = self.numbers(name)
        if optional:
            values = np.nan_to_num(values, nan=0.0)
        # A comparison with NaN is false, so NaN is refused here too.
        self.refuse(name, ~((values >= 0) & (values <= limit)), values, f"must be in 0..{limit}")
        self.refuse(
            name, values != np.rint(values), values, "must be a whole number: count in a smaller unit"
        )
        return values.astype(np.uint64)

    def times(self, name: str) -> Int64Array:
        """Return a time column as (n,) int64 ns since the UNIX epoch; times without a zone are UTC."""
        column = self.batch.column(name)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())
        elif not pa.types.is_integer(column.type):
            raise SchemaMismatch(
                f"{self.file}: column `{name}` must hold timestamps or integer ns, holds {column.type}"
            )
        return self._whole(name, column)

    def days(self, name: str) -> Int64Array:
        """Return a column of dates as (n,) int64 ns of their midnight in UTC; 20090821 is a date too."""
        column = self.batch.column(name)
        if pa.types.is_integer(column.type):
            return self._compact_days(name, self._whole(name, column))
        try:
            days = column.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
        except pa.ArrowException as error:
            raise SchemaMismatch(
                f"{self.file}: column `{name}` must hold dates such as 2009-08-21, holds {column.type}"
            ) from error
        return self._whole(name, days) * NANOS_PER_DAY

    def texts(self, name: str) -> tuple[list[str], Int64Array]:
        """Return the distinct texts of a column and each row's index into them, -1 for null."""
        column = self.batch.column(name)
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        held = column.indices
        if held.null_count:
            held = pc.fill_null(held.cast(pa.int64()), -1)
        indices: Int64Array = held.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
        return ["" if text is None else str(text) for text in column.dictionary.to_pylist()], indices

    def symbols(self) -> tuple[list[str], Int64Array]:
        """Return the distinct symbols and each row's index into them; a row without one is refused."""
        texts, indices = self.texts("symbol")
        is_blank = np.array([not text.strip() for text in [*texts, ""]])
        wrong = is_blank[indices]
        if wrong.any():
            self.refuse("symbol", wrong, np.array([*texts, ""])[indices], "must name an instrument")
        return texts, indices

    def positions(self, known: dict[str, int]) -> UInt32Array:
        """Return each row's position of its symbol, (n,) uint32, 0 where it is not selected."""
        texts, indices = self.symbols()
        lookup = np.array([known.get(text, 0) for text in [*texts, ""]], dtype=np.uint32)
        return lookup[indices]

    def sides(self, name: str) -> NDArray[np.bytes_]:
        """Return the aggressor's side as (n,) S1: B bought, A sold, N unknown."""
        texts, indices = self.texts(name)
        codes = [_SIDES.get(text.strip().upper()) for text in texts]
        unknown = np.array([code is None for code in [*codes, b"N"]])[indices]
        if unknown.any():
            self.refuse(name, unknown, np.array([*texts, ""])[indices], "must be B (bought), A (sold) or N")
        return np.array([code or b"N" for code in [*codes, b"N"]], dtype="S1")[indices]

    def _whole(self, name: str, column: pa.Array) -> Int64Array:
        if column.null_count:
            missing = pc.is_null(column).to_numpy(zero_copy_only=False)
            self.refuse(name, missing, np.full(len(missing), "", dtype=object), "must be a time")
        values: Int64Array = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
        return values

    def _compact_days(self, name: str, values: Int64Array) -> Int64Array:
        distinct, inverse = np.unique(values, return_inverse=True)
        midnights = np.zeros(len(distinct), dtype=np.int64)
        for index, value in enumerate(distinct.tolist()):
            try:
                date = dt.datetime.strptime(str(value), "%Y%m%d").date()
            except ValueError:
                self.refuse(name, inverse == index, values, "must be a date such as 20090821")
                raise
            midnights[index] = (date.toordinal() - _EPOCH_ORDINAL) * NANOS_PER_DAY
        return midnights[inverse]
