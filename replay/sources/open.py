"""Find the reader of a path by what is there: a folder's files, a file's first bytes, a table's columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipeline.archive_manifest import is_archive
from replay.archive.recorded import recorded_source
from replay.errors import ConfigError, CorruptFile, MissingFile, UnknownSymbol
from replay.sources.bar_files import bar_source, panel_source
from replay.sources.base import Selection, Source
from replay.sources.dbn import MAGIC, ZSTD_MAGIC, dbn_source
from replay.sources.lean import lean_sources
from replay.sources.sp500 import NAME, sp500_source
from replay.sources.tables import Format, open_table
from replay.sources.tick_files import tick_source

_SUFFIXES: Final = (".dbn", ".dbn.zst", ".parquet", ".arrow", ".feather", ".csv", ".csv.gz")
_HEAD_BYTES: Final = 8
_SYMBOLS_SHOWN: Final = 10


def open_sources(paths: Sequence[Path | str], selection: Selection) -> list[Source]:
    """Return the sources of several paths, in the order given, and check that all selected symbols exist.

    Raises
    ------
    ConfigError
        A path is given twice, or none is given.
    UnknownSymbol
        A selected symbol is in no source.
    """
    if not paths:
        raise ConfigError(f"no path given; name files or folders, or {NAME!r} for the installed panel")
    seen: set[Path | str] = set()
    sources: list[Source] = []
    for path in paths:
        identity = path if path == NAME else Path(path).resolve()
        if identity in seen:
            raise ConfigError(f"{path} is given twice; its ticks would be replayed twice")
        seen.add(identity)
        sources.extend(open_source(path, selection))
    if selection.symbols is not None:
        _require_symbols(selection.symbols, sources, paths)
    return [source for source in sources if source.symbols]


def open_source(path: Path | str, selection: Selection | None = None) -> list[Source]:
    """Return the sources at a path: DBN, Parquet, Arrow, CSV, LEAN zips, folders, an archive, or `sp500-2009`.

    Raises
    ------
    ArchiveError
        An archive of which a part is missing or damaged.
    MissingFile
        Nothing at the path, or a folder without files that a reader knows.
    CorruptFile
        The file is damaged, or is none that a reader knows.
    SchemaMismatch
        A known kind of file that holds no ticks.
    """
    selection = selection or Selection()
    if path == NAME:
        return [sp500_source(selection)]
    path = Path(path)
    if is_archive(path):
        return [recorded_source(path, selection)]
    if path.is_dir():
        return _open_folder(path, selection)
    if not path.is_file():
        raise MissingFile(
            f"{path}: no such file or folder; the data set installed with cs3g is called {NAME!r}"
        )
    return _open_file(path, selection)


def _open_file(path: Path, selection: Selection) -> list[Source]:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise CorruptFile(f"{path}: the file is empty")
    # By name too: a truncated or damaged file should be called what it was meant to be.
    name = path.name.lower()
    if head.startswith((MAGIC, ZSTD_MAGIC)) or name.endswith((".dbn", ".dbn.zst")):
        return [dbn_source(path, selection)]
    if head.startswith(b"PK") or name.endswith(".zip"):
        return list(lean_sources(path, selection))
    table = open_table(path, _table_format(head, name, path))
    if table.kind == "panel":
        return [panel_source(table, selection)]
    return [(bar_source if table.kind == "bars" else tick_source)(table, selection)]


def _table_format(head: bytes, name: str, path: Path) -> Format:
    if head.startswith(b"PAR1") or name.endswith(".parquet"):
        return "parquet"
    if head.startswith(b"ARROW1") or name.endswith((".arrow", ".feather")):
        return "arrow"
    if name.endswith((".csv", ".csv.gz")):
        return "csv"
    raise CorruptFile(f"{path}: unknown kind of file; readers know zip (LEAN), {', '.join(_SUFFIXES)}")


def _open_folder(path: Path, selection: Selection) -> list[Source]:
    if any(path.rglob("*.zip")):
        return list(lean_sources(path, selection))
    files = sorted(one for one in path.iterdir() if one.name.lower().endswith(_SUFFIXES))
    if not files:
        raise MissingFile(
            f"{path}: no file that a reader knows; readers know zip (LEAN), {', '.join(_SUFFIXES)}"
        )
    return [source for file in files for source in _open_file(file, selection)]


def _require_symbols(symbols: frozenset[str], sources: Sequence[Source], paths: Sequence[Path | str]) -> None:
    held = {symbol for source in sources for symbol in source.symbols}
    missing = sorted(symbols - held)
    if missing:
        shown = ", ".join(missing[:_SYMBOLS_SHOWN]) + (", ..." if len(missing) > _SYMBOLS_SHOWN else "")
        raise UnknownSymbol(f"no source holds the symbol(s) {shown}: {', '.join(map(str, paths))}")
