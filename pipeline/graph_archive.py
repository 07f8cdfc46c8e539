"""Graph snapshots as a folder of Parquet files by date, to train on and to compare models on.

`write_graph_archive` makes one from runs, `cs3g archive` from a topic; both are read back by
`read_graph_archive`, bit for bit, and however the windows were cut into files.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.archive_folder import ArchiveFolder
from pipeline.archive_manifest import Manifest, Part, PartLabel, read_manifest, verify
from pipeline.errors import ArchiveError, GraphRunError
from pipeline.graph_table import read_graph_table, read_instrument_ids, write_graph_table
from pipeline.offline import join_graph_runs
from topics.cuts import slice_graphs
from topics.runs import GraphRun
from topics.types import NANOS_PER_DAY, NANOS_PER_SECOND, UInt32Array

TOPIC: Final = "graphs"
FILE_BYTES: Final = 64 * 1024 * 1024
"""About so many bytes of arrays make a file; a day never shares one with another."""

_LAST_SECOND: Final = 253_402_300_799  # of the year 9999: a tick may claim any time


def write_graph_archive(folder: Path, runs: Iterable[GraphRun]) -> Manifest:
    """Write consecutive runs of one universe as an archive, all or nothing.

    Parameters
    ----------
    folder
        Must not exist, or be empty.
    runs
        As `pipeline.offline.snapshots_from_ticks` yields them; the universe may grow.

    Raises
    ------
    ArchiveError
        The folder holds something.
    GraphRunError
        There is no run, or they do not follow each other.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArchiveError(f"{folder}: is there already: name a new or empty folder for the archive")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with ArchiveFolder(temporary) as archive:
            last: GraphRun | None = None
            for run in gathered(runs):
                if last is not None:
                    _require_next(last, run)
                stage_graphs(archive, run)
                last = run
            archive.commit()
            manifest = archive.manifest
        if not manifest.parts:
            raise GraphRunError("there are no snapshots to write: no tick fell into any window")
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def read_graph_archive(
    folder: Path, *, from_ts_close: int = 0, to_ts_close: int = 0, universe: str | None = None
) -> GraphRun:
    """Return the snapshots of the windows in (from_ts_close, to_ts_close] as one run.

    Its instruments are those seen up to its last window, as in a run that ends there.

    Parameters
    ----------
    from_ts_close, to_ts_close
        ns since the UNIX epoch; 0 for an open end.
    universe
        Needed where the archive holds several.

    Raises
    ------
    ArchiveError
        The folder is no archive, a part is missing or damaged, or it holds no such windows.
    GraphRunError
        Windows between two parts are missing.
    """
    end = to_ts_close or np.iinfo(np.int64).max
    parts = _parts_of(folder, universe)
    wanted = [i for i, part in enumerate(parts) if part.ts_last > from_ts_close and part.ts_first <= end]
    runs = []
    for index in wanted:
        run = read_graph_table(verify(folder, parts[index]))
        start, stop = np.searchsorted(run.ts_close, [from_ts_close, end], side="right").tolist()
        if stop <= start:
            continue
        if stop < len(run.ts_close) and index:
            seen = read_instrument_ids(verify(folder, parts[index - 1]))
        else:
            seen = run.instrument_ids[:0]
        runs.append(_as_of(run, start, stop, seen))
    if not runs:
        raise ArchiveError(
            f"{folder}: the archive holds no window that closes after {from_ts_close} and up to"
            f" {to_ts_close or 'its end'}; it holds {parts[0].ts_first}..{parts[-1].ts_last} ns"
        )
    return join_graph_runs(runs)


def graph_run_digest(run: GraphRun) -> str:
    """Return `sha256:<hex>` over everything that a run holds; equal for equal runs, however they were stored."""
    digest = hashlib.sha256()
    for field in fields(run):
        value: Any = getattr(run, field.name)
        digest.update(f"\0{field.name}\0".encode())
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype.str}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).data)
        else:
            digest.update(repr(value).encode())
    return f"sha256:{digest.hexdigest()}"


def gathered(
    runs: Iterable[GraphRun], *, seen: UInt32Array | None = None, file_bytes: int = FILE_BYTES
) -> Iterator[GraphRun]:
    """Yield the same windows in runs that are worth a file, each of one date.

    Parameters
    ----------
    seen
        Instruments of the run before the first of these, None if there was none.
    """
    held: list[GraphRun] = []
    n_bytes = 0
    seen = np.empty(0, np.uint32) if seen is None else seen
    for run in runs:
        for piece in _by_date(run, seen):
            if held and (n_bytes >= file_bytes or not _follows(held[-1], piece)):
                yield join_graph_runs(held)
                held, n_bytes = [], 0
            held.append(piece)
            n_bytes += piece.features.nbytes + piece.neighbors.nbytes * 2 + piece.close.nbytes
        seen = run.instrument_ids
    if held:
        yield join_graph_runs(held)


def stage_graphs(
    archive: ArchiveFolder,
    run: GraphRun,
    *,
    partition: int = -1,
    first_offset: int = -1,
    last_offset: int = -1,
) -> None:
    """Write one date's run as a part of an archive that is being written; arguments as in `Part`."""
    first, last = int(run.ts_close[0]), int(run.ts_close[-1])
    # The offset keeps apart sequences that start anew, as after a change of the pipeline's settings.
    origin = "" if first_offset < 0 else f"-p{partition:04d}-{first_offset:012d}"
    name = f"{run.seq:010d}-{run.seq + len(run.ts_close) - 1:010d}{origin}.parquet"
    label = PartLabel(
        path=f"{TOPIC}/universe={run.universe}/{date_key(first, run.size_ns)}/{name}",
        topic=TOPIC,
        schema=TOPIC,
        ts_first=first,
        ts_last=last,
        partition=partition,
        first_offset=first_offset,
        last_offset=last_offset,
        universe=run.universe,
    )
    archive.stage(label, run.mask.size, lambda path: write_graph_table(path, run))


def date_key(ts_close: int, size_ns: int) -> str:
    """Return the folder of a window: its UTC date, or its year where a window lasts a day or more."""
    moment = datetime.fromtimestamp(min((ts_close - 1) // NANOS_PER_SECOND, _LAST_SECOND), UTC)
    return f"year={moment:%Y}" if size_ns >= NANOS_PER_DAY else f"date={moment:%Y-%m-%d}"


def _parts_of(folder: Path, universe: str | None) -> list[Part]:
    parts = read_manifest(folder).of_topic(TOPIC)
    universes = sorted({part.universe for part in parts})
    if not parts:
        raise ArchiveError(f"{folder}: the archive holds no graph snapshots: archive the topic `graphs`")
    if universe is None and len(universes) > 1:
        raise ArchiveError(f"{folder}: holds the universes {', '.join(universes)}: name one")
    chosen = universes[0] if universe is None else universe
    if chosen not in universes:
        raise ArchiveError(f"{folder}: holds no universe {chosen!r}, only {', '.join(universes)}")
    return sorted((part for part in parts if part.universe == chosen), key=lambda part: part.ts_first)


def _by_date(run: GraphRun, seen: UInt32Array) -> Iterator[GraphRun]:
    keys = [date_key(int(ts_close), run.size_ns) for ts_close in run.ts_close]
    starts = [t for t, key in enumerate(keys) if not t or key != keys[t - 1]]
    for start, stop in zip(starts, [*starts[1:], len(keys)], strict=True):
        yield _as_of(run, start, stop, seen)


def _as_of(run: GraphRun, start: int, stop: int, seen: UInt32Array) -> GraphRun:
    """Return windows start..stop-1 without the instruments that come later and were not `seen` before."""
    mask = run.mask
    later = mask[stop:].any(axis=0) & ~mask[:stop].any(axis=0) & ~np.isin(run.instrument_ids, seen)
    used = run.neighbors[:stop]
    later[used[used >= 0]] = False
    run = slice_graphs(run, start, stop)
    if not later.any():
        return run
    kept = np.flatnonzero(~later)
    # -1 reads the appended entry, itself -1.
    moved = np.append(np.where(later, -1, np.cumsum(~later) - 1), -1).astype(np.int32)
    return replace(
        run,
        instrument_ids=run.instrument_ids[kept],
        symbols=tuple(run.symbols[i] for i in kept),
        sector=run.sector[kept],
        mask=run.mask[:, kept],
        features=run.features[:, kept],
        close=run.close[:, kept],
        neighbors=moved[run.neighbors[:, kept]],
        neighbor_weights=run.neighbor_weights[:, kept],
    )


def _require_next(held: GraphRun, run: GraphRun) -> None:
    same = (held.universe, held.size_ns, held.relations) == (run.universe, run.size_ns, run.relations)
    seq = held.seq + len(held.ts_close)
    if not same or run.seq != seq or run.ts_close[0] <= held.ts_close[-1]:
        raise GraphRunError(
            f"the run of seq {run.seq} of {run.universe!r} does not follow: seq {seq} of {held.universe!r}"
            " with the same windows' length and relations was expected"
        )


def _follows(held: GraphRun, piece: GraphRun) -> bool:
    is_next = piece.seq == held.seq + len(held.ts_close) and piece.relations == held.relations
    dates = (date_key(int(run.ts_close[0]), run.size_ns) for run in (held, piece))
    return is_next and piece.universe == held.universe and len(set(dates)) == 1
