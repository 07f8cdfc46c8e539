"""LEAN's zip files: which day, symbol and resolution one holds, and its only CSV member as a stream."""

from __future__ import annotations

import datetime as dt
import errno
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

import pyarrow as pa

from replay.errors import CorruptFile, SchemaMismatch, SourceError
from replay.sources.columns import Columns
from replay.sources.csv_blocks import csv_batches
from replay.sources.lean_times import midnight_utc_ns, of_texts, since_midnight, wall_ns
from topics.types import Int64Array

Resolution = Literal["tick", "second", "minute", "hour", "daily"]
RESOLUTIONS: Final = ("tick", "second", "minute", "hour", "daily")

_MEMBER: Final = re.compile(
    r"(?P<date>\d{8})_(?P<symbol>.+)_(?:(?P<tick_side>trade|quote)_tick|(?P<resolution>second|minute)_(?P<side>trade|quote))\.csv",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LeanFile:
    """One zip file.

    Attributes
    ----------
    date
        New York day; None for hour and daily files, which hold all days.
    side
        "trade" or "quote".
    """

    path: Path
    symbol: str
    resolution: Resolution
    date: dt.date | None
    side: str

    @property
    def label(self) -> str:
        """What messages call it."""
        return str(self.path)

    def batches(self, columns: Sequence[str], include: Sequence[str], chunk_rows: int) -> Iterator[Columns]:
        """Yield the wanted columns of the CSV, all as float64 but `time` of hour and daily files.

        Raises
        ------
        InvalidRow
            A value does not parse.
        CorruptFile
            The archive is damaged.
        """
        types = {name: pa.float64() for name in include}
        if self.date is None:
            types["time"] = pa.string()
        row = 1
        with _member(self.path) as (_, stream):
            try:
                for batch in csv_batches(
                    stream, self.path, columns=columns, types=types, chunk_rows=chunk_rows, include=include
                ):
                    yield Columns(self.path, batch, row)
                    row += batch.num_rows
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise CorruptFile(
                    f"{self.path}: after row {row - 1}: {error}; fetch the file again"
                ) from error

    def times(self, columns: Columns) -> Int64Array:
        """Return the column `time` as (n,) int64 ns since the UNIX epoch.

        Raises
        ------
        InvalidRow
            Not a time of the file's kind.
        """
        if self.date is None:
            return of_texts(columns, midnight_utc_ns if self.resolution == "daily" else wall_ns)
        return since_midnight(self.date, columns)


def lean_file(path: Path) -> LeanFile:
    """Tell what a LEAN zip file holds, by the name of its member and its folder.

    Raises
    ------
    CorruptFile
        No zip file, or a truncated one.
    SchemaMismatch
        A zip file that is not LEAN's.
    """
    with _member(path) as (name, _):
        pass
    found = _MEMBER.fullmatch(name)
    if found:
        resolution = (found["resolution"] or "tick").lower()
        date = dt.datetime.strptime(found["date"], "%Y%m%d").date()
        side = (found["side"] or found["tick_side"]).lower()
        return LeanFile(path, found["symbol"].upper(), resolution, date, side)  # type: ignore[arg-type]  # by _MEMBER
    folder = path.parent.name.lower()
    if folder in ("hour", "daily"):
        return LeanFile(path, path.stem.upper(), folder, None, "trade")  # type: ignore[arg-type]  # checked above
    raise SchemaMismatch(
        f"{path}: member {name!r} is not LEAN's; expected YYYYMMDD_symbol_Trade_Tick.csv or the like,"
        " or a file in a folder hour/ or daily/"
    )


@contextmanager
def _member(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            raise SourceError(
                f"{path}: too many open files; select fewer --symbols or raise ulimit -n"
            ) from error
        raise CorruptFile(f"{path}: no zip file, or truncated ({error}); fetch the file again") from error
    with archive:
        names = archive.namelist()
        if len(names) != 1:
            raise SchemaMismatch(f"{path}: holds {len(names)} members; LEAN's equity files hold one CSV")
        try:
            stream = archive.open(names[0])
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise CorruptFile(f"{path}: {error}; fetch the file again") from error
        with stream:
            yield names[0], stream
