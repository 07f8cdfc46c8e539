"""LEAN folders and zip files as one source a symbol, its days one after the other."""

from __future__ import annotations

import re
import resource
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias

from replay.errors import MissingFile, SchemaMismatch
from replay.sources.base import Selection, StreamSource, Tally
from replay.sources.lean_bars import SCHEMA_OF, bars
from replay.sources.lean_files import RESOLUTIONS, LeanFile, Resolution, lean_file
from replay.sources.lean_ticks import tick_day, trade_day
from replay.sources.lean_times import day_span_ns, parse_day
from topics.types import RecordArray

_FEWEST_ROWS: Final = 1024
_FILES_A_SYMBOL: Final = 2
_OTHER_FILES: Final = 256
_DATED: Final = re.compile(r"(?P<date>\d{8})_(?P<side>trade|quote)\.zip", re.IGNORECASE)

_Reader: TypeAlias = Callable[[Tally], Iterator[RecordArray]]


@dataclass(slots=True)
class _Held:
    """What is there of one symbol; the time range decides which files are opened, and nothing else."""

    resolution: Resolution = "tick"
    has_quotes: bool = False
    files: list[LeanFile] = field(default_factory=list)


def lean_sources(path: Path, selection: Selection) -> list[StreamSource]:
    """Return the symbols of a LEAN zip file, a symbol's folder, or a resolution's folder.

    Ticks: where a symbol has quotes its schema is `mbp-1`, else `trades`. Bars: only trade bars are read.
    Files of other symbols and of days outside the range are not opened.

    Raises
    ------
    MissingFile
        No LEAN file there.
    SchemaMismatch
        Several resolutions, or only quote bars.
    CorruptFile
        A zip file is truncated or damaged.
    """
    paths = [path] if path.is_file() else sorted(path.rglob("*.zip"))
    if not paths:
        raise MissingFile(f"{path}: holds no zip file of LEAN; point at a folder such as equity/usa/tick")
    _require_one_resolution(path, paths)
    held = _held_by_symbol(paths, selection)
    _allow_open_files(_FILES_A_SYMBOL * len(held))
    # A merge holds a chunk of every symbol: many symbols get small ones.
    rows = max(_FEWEST_ROWS, selection.chunk_rows // max(len(held), 1))
    selection = replace(selection, chunk_rows=min(rows, selection.chunk_rows))
    return [_source(path, symbol, one, selection) for symbol, one in sorted(held.items())]


def _held_by_symbol(paths: Sequence[Path], selection: Selection) -> dict[str, _Held]:
    held: defaultdict[str, _Held] = defaultdict(_Held)
    for path in paths:
        dated = _DATED.fullmatch(path.name) if len(paths) > 1 else None
        if dated:
            symbol = path.parent.name.upper()
            if not selection.wants(symbol):
                continue
            day = parse_day(dated["date"])
            if day is not None and not selection.overlaps(*day_span_ns(day)):
                one = held[symbol]
                one.resolution = _resolution_of_folder(path)
                one.has_quotes |= dated["side"].lower() == "quote"
                continue
        file = lean_file(path)
        if selection.wants(file.symbol):
            one = held[file.symbol]
            one.resolution = file.resolution
            one.has_quotes |= file.side == "quote"
            one.files.append(file)
    return held


def _source(path: Path, symbol: str, held: _Held, selection: Selection) -> StreamSource:
    name = f"{path}:{symbol}" if path.is_dir() else str(path)
    files = sorted(held.files, key=lambda file: (str(file.date), file.side))
    if held.resolution == "tick":
        schema, clock = ("mbp-1" if held.has_quotes else "trades"), selection.clock
        return StreamSource(
            name, schema, clock, (symbol,), _tick_reader(files, held.has_quotes, selection.chunk_rows)
        )
    trade_bars = [file for file in files if file.side == "trade"]
    if files and not trade_bars:
        raise SchemaMismatch(f"{name}: only quote bars are here; replayed are trade bars, and tick quotes")

    def read_bars(tally: Tally) -> Iterator[RecordArray]:
        for file in trade_bars:
            yield from bars(file, 1, tally, selection.chunk_rows)

    return StreamSource(name, SCHEMA_OF[held.resolution], "ts_event", (symbol,), read_bars)


def _tick_reader(files: Sequence[LeanFile], has_quotes: bool, chunk_rows: int) -> _Reader:
    days: defaultdict[str, dict[str, LeanFile]] = defaultdict(dict)
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


def _resolution_of_folder(path: Path) -> Resolution:
    folder = path.parent.parent.name.lower()
    return folder if folder in ("second", "minute") else "tick"  # type: ignore[return-value]  # by the check


def _require_one_resolution(path: Path, paths: Sequence[Path]) -> None:
    # The folders tell it without opening thousands of files.
    found = sorted({part for one in paths for part in one.relative_to(path).parts if part in RESOLUTIONS})
    if len(found) > 1:
        raise SchemaMismatch(
            f"{path}: holds the resolutions {', '.join(found)}; point at one of them, for instance"
            f" {next(one for one in path.rglob(found[-1]) if one.is_dir())}"
        )
