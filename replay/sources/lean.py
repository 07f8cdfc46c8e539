"""LEAN folders and zip files as one source a symbol, its days one after the other."""

from __future__ import annotations

import resource
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

from replay.errors import MissingFile, SchemaMismatch
from replay.sources.base import Selection, StreamSource, Tally
from replay.sources.lean_bars import SCHEMA_OF, bars
from replay.sources.lean_files import RESOLUTIONS, LeanFile, file_date, lean_file
from replay.sources.lean_ticks import tick_day, trade_day
from replay.sources.lean_times import day_span_ns
from topics.types import RecordArray

_FEWEST_ROWS: Final = 1024
_FILES_A_SYMBOL: Final = 2
_OTHER_FILES: Final = 256

_Reader: TypeAlias = Callable[[Tally], Iterator[RecordArray]]


def lean_sources(path: Path, selection: Selection) -> list[StreamSource]:
    """Return the symbols of a LEAN zip file, a symbol's folder, or a resolution's folder.

    Ticks: where a symbol has quotes its schema is `mbp-1`, else `trades`. Bars: only trade bars are read.

    Raises
    ------
    MissingFile
        No LEAN file there, or none of the selected days and symbols.
    SchemaMismatch
        Several resolutions, or only quote bars.
    CorruptFile
        A zip file is truncated or damaged.
    """
    paths = [path] if path.is_file() else sorted(path.rglob("*.zip"))
    _one_resolution(path, paths)
    files = [lean_file(one) for one in paths if _wanted_day(one, selection)]
    by_symbol: dict[str, list[LeanFile]] = defaultdict(list)
    for file in files:
        if selection.wants(file.symbol):
            by_symbol[file.symbol].append(file)
    if by_symbol:
        _allow_open_files(_FILES_A_SYMBOL * len(by_symbol))
        # A merge holds a chunk of every symbol: many symbols get small ones.
        rows = max(_FEWEST_ROWS, selection.chunk_rows // len(by_symbol))
        selection = replace(selection, chunk_rows=min(rows, selection.chunk_rows))
    sources = []
    for symbol, held in sorted(by_symbol.items()):
        held.sort(key=lambda file: (str(file.date), file.side))
        sources.append(_source(path, symbol, held, selection))
    if not paths:
        raise MissingFile(f"{path}: holds no zip file of LEAN; point at a folder such as equity/usa/tick")
    return sources


def _source(path: Path, symbol: str, files: Sequence[LeanFile], selection: Selection) -> StreamSource:
    resolution = files[0].resolution
    name = f"{path}:{symbol}" if path.is_dir() else str(path)
    if resolution == "tick":
        has_quotes = any(file.side == "quote" for file in files)
        read = _tick_reader(files, has_quotes, selection.chunk_rows)
        return StreamSource(name, "mbp-1" if has_quotes else "trades", selection.clock, (symbol,), read)
    trade_bars = [file for file in files if file.side == "trade"]
    if not trade_bars:
        raise SchemaMismatch(f"{name}: only quote bars are here; replayed are trade bars, and tick quotes")

    def read_bars(tally: Tally) -> Iterator[RecordArray]:
        for file in trade_bars:
            yield from bars(file, 1, tally, selection.chunk_rows)

    return StreamSource(name, SCHEMA_OF[resolution], "ts_event", (symbol,), read_bars)


def _tick_reader(files: Sequence[LeanFile], has_quotes: bool, chunk_rows: int) -> _Reader:
    days: dict[str, dict[str, LeanFile]] = defaultdict(dict)
    for file in files:
        days[str(file.date)][file.side] = file

    def read(tally: Tally) -> Iterator[RecordArray]:
        for day in days.values():
            if has_quotes:
                yield from tick_day(day.get("trade"), day.get("quote"), 1, tally, chunk_rows)
            else:
                yield from trade_day(day["trade"], 1, tally, chunk_rows)

    return read


def _allow_open_files(count: int) -> None:
    # A merge reads a trade and a quote file of every symbol at once; the soft limit is often only 1024.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _wanted_day(path: Path, selection: Selection) -> bool:
    date = file_date(path)
    return date is None or selection.overlaps(*day_span_ns(date))


def _one_resolution(path: Path, paths: Sequence[Path]) -> None:
    # The folders tell it without opening thousands of files.
    found = sorted({part for one in paths for part in one.relative_to(path).parts if part in RESOLUTIONS})
    if len(found) > 1:
        raise SchemaMismatch(
            f"{path}: holds the resolutions {', '.join(found)}; point at one of them, for instance"
            f" {next(one for one in path.rglob(found[-1]) if one.is_dir())}"
        )
