"""What models are compared on: files of bars or ticks folded to snapshots, or an archive of snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cs3g.ab.fold_sink import FoldSink
from cs3g.ab.market import sector_names
from cs3g.errors import ComparisonError
from pipeline.archive_manifest import is_archive, read_manifest
from pipeline.config import PipelineConfig, load_config
from pipeline.graph_archive import TOPIC, graph_run_digest, read_graph_archive
from pipeline.offline import join_graph_runs
from replay.archive.recorded import RecordedSource
from replay.config import ReplayConfig
from replay.report import Progress
from replay.runner import run_replay
from replay.sources.base import Selection, Source
from replay.sources.open import open_sources
from replay.sources.relations import Relations, read_relations
from topics.runs import GraphRun

__all__ = [
    "DEFAULT_DATA",
    "UNIVERSE",
    "History",
    "Input",
    "is_graph_archive",
    "open_input",
    "read_archived_history",
    "read_history",
    "replay_settings",
]

DEFAULT_DATA: Final = "sp500-2009"
UNIVERSE: Final = "ab"
_WINDOWS: Final = {"ohlcv-1d": "1d", "ohlcv-1h": "1h", "ohlcv-1m": "1m"}
_BATCH_TICKS: Final = 16_384


@dataclass(frozen=True, slots=True)
class Input:
    """Opened files.

    Attributes
    ----------
    sources
        Of ticks or bars.
    relations
        Edges between instruments, and sectors instead of what the sources say.
    window
        Length of a window as text.
    limit
        Replay at most so many ticks.
    """

    sources: tuple[Source, ...]
    relations: Relations | None
    window: str
    limit: int | None = None

    def config(self, **settings: object) -> PipelineConfig:
        """Return the pipeline's settings for this data; the environment's, where it sets any."""
        first = self.sources[0]
        # An archive's ticks keep the partitions in which they were recorded.
        partitions = first.archive.partitions if isinstance(first, RecordedSource) else None
        return load_config(
            universe=UNIVERSE, window_size_ns=self.window, tick_partitions=partitions, **settings
        )

    def sector_names(self) -> tuple[str, ...]:
        """Return the sectors by code."""
        return sector_names(self.sources, self.relations)


@dataclass(frozen=True, slots=True)
class History:
    """Snapshots of all windows, and where they come from.

    Attributes
    ----------
    snapshots
        One run.
    sources
        Names of the data, without their folders.
    data_digest
        `sha256:<hex>` of the ticks.
    ticks
        Replayed.
    config_hash
        Of everything in the pipeline's settings that can change a result.
    sector_names
        By code.
    """

    snapshots: GraphRun
    sources: tuple[str, ...]
    data_digest: str
    ticks: int
    config_hash: str
    sector_names: tuple[str, ...]


def open_input(
    data: Sequence[str],
    *,
    relations: Path | None = None,
    window: str | None = None,
    limit: int | None = None,
    symbols: frozenset[str] | None = None,
) -> Input:
    """Open files of bars or ticks.

    Parameters
    ----------
    data
        Paths, or the name of an installed data set; the demo's panel where there is none.
    relations
        Table of symbol, sector, or of symbol_a, symbol_b.
    window
        Length of a window; the bars' own by default, a second for ticks.

    Raises
    ------
    ReplayError
        If a file cannot be read.
    ComparisonError
        If no selected symbol is in them.
    """
    paths = tuple(data) or (DEFAULT_DATA,)
    sources = open_sources(paths, Selection(symbols=symbols))
    if not sources:
        raise ComparisonError(f"no selected symbol is in {', '.join(paths)}: name others with --symbols")
    return Input(
        sources=tuple(sources),
        relations=None if relations is None else read_relations(relations),
        window=window or _WINDOWS.get(sources[0].schema, "1s"),
        limit=limit,
    )


def replay_settings(given: Input, config: PipelineConfig, run_id: str, batch_ticks: int) -> ReplayConfig:
    """Return how the data is replayed: the same ticks and heartbeats in process and through Kafka."""
    return ReplayConfig(
        run_id=run_id,
        universe=config.universe,
        limit=given.limit,
        batch_ticks=batch_ticks,
        partitions=config.tick_partitions,
    )


def read_history(given: Input, on_progress: Callable[[Progress], None] | None = None) -> History:
    """Fold files to snapshots in this process.

    Raises
    ------
    ReplayError
        If a file is damaged or holds no tick.
    GraphRunError
        If no tick falls into any window.
    """
    config = given.config()
    sink = FoldSink(config)
    replay = replay_settings(given, config, "in-process", _BATCH_TICKS)
    report = asyncio.run(
        run_replay(replay, given.sources, sink, relations=given.relations, on_progress=on_progress)
    )
    return History(
        snapshots=join_graph_runs(sink.runs),
        sources=tuple(Path(source.name).name for source in given.sources),
        data_digest=report.digest,
        ticks=report.ticks,
        config_hash=config.config_hash(),
        sector_names=given.sector_names(),
    )


def is_graph_archive(data: Sequence[str]) -> bool:
    """Return whether the data is one archive that holds snapshots and no ticks.

    Raises
    ------
    ArchiveError
        If its manifest is damaged, or a part is missing.
    """
    if len(data) != 1 or not is_archive(Path(data[0])):
        return False
    topics = {part.topic for part in read_manifest(Path(data[0])).parts}
    return TOPIC in topics and "ticks" not in topics


def read_archived_history(folder: Path) -> History:
    """Read an archive of snapshots; its sectors have numbers and no names, and its digest is of the snapshots.

    Raises
    ------
    ArchiveError, GraphRunError
        If a part is damaged, or windows are missing.
    """
    snapshots = read_graph_archive(folder)
    digest = graph_run_digest(snapshots)
    return History(
        snapshots=snapshots,
        sources=(folder.resolve().name,),
        data_digest=digest,
        ticks=0,
        config_hash="",
        sector_names=(),
    )
