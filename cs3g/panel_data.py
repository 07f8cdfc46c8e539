"""A file of bars or ticks as what a model reads: snapshots, closes, labels, made by the pipeline's own code.

So a model is trained on the very numbers that it will see live: reader of `replay`, windows and graphs of
`pipeline`, without Kafka.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.errors import TrainingError
from cs3g_model.features import RETURN_LIMIT
from pipeline.durations import parse_duration
from pipeline.graph_config import GraphConfig, InstrumentDirectory
from pipeline.graphs import snapshots_of
from pipeline.offline import join_graph_runs, snapshots_from_ticks
from pipeline.refusals import BAR_NS
from replay.errors import ConfigError, EmptyReplay
from replay.instruments import instrument_table
from replay.sources.base import Source
from replay.sources.open import open_source
from replay.sources.relations import read_relations
from topics.runs import GraphRun, TickRun
from topics.types import NANOS_PER_DAY, BoolArray, Float32Array

_UNIVERSE: Final = "panel"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

HISTORY: Final = 16
"""An instrument is trained on and judged once it was present in so many windows before, without a gap."""


@dataclass(frozen=True, slots=True)
class PanelFile:
    """A file that is read as one universe.

    Attributes
    ----------
    path
        A file, or the name of an installed data set.
    relations
        File of (symbol, sector) or of related pairs; the data set's own sectors where it gives none.
    window_ns
        Length of a window; None takes the bars' own.
    """

    path: str
    relations: Path | None = None
    window_ns: int | None = None

    def graph_runs(self) -> Iterator[GraphRun]:
        """Yield the snapshots in order, in runs.

        Raises
        ------
        ReplayError
            If a file cannot be read, or holds several sources.
        ConfigError
            If the file holds ticks and no window is given.
        """
        source = self.source()
        yield from snapshots_from_ticks(
            ((0, TickRun(source.schema, records)) for records in source.chunks()),
            self._directory(source),
            GraphConfig(universe=_UNIVERSE, size_ns=self.size_ns_of(source)),
            partitions=1,
        )

    def graph_run(self) -> GraphRun:
        """Return all snapshots as one run.

        Raises
        ------
        EmptyReplay
            If the file makes no window.
        """
        runs = list(self.graph_runs())
        if not runs:
            raise EmptyReplay(f"{self.path}: no window: it has no row with a volume and prices above zero")
        return join_graph_runs(runs)

    def sha256(self) -> dict[str, str]:
        """Return the SHA-256 of the files by name."""
        files = [Path(self.path), *([self.relations] if self.relations else [])]
        digests = {}
        for file in files:
            if file.is_file():
                with file.open("rb") as opened:
                    digests[file.name] = hashlib.file_digest(opened, "sha256").hexdigest()
        return digests

    def source(self) -> Source:
        """Return the file's one source.

        Raises
        ------
        ReplayError
            If the file cannot be read, or holds several.
        """
        sources = open_source(self.path)
        if len(sources) != 1:
            raise ConfigError(f"{self.path} holds {len(sources)} sources: name one file")
        return sources[0]

    def size_ns_of(self, source: Source) -> int:
        """Return the length of a window, the source's own bars' where none is given.

        Raises
        ------
        ConfigError
            If the source holds no bars.
        """
        size_ns = self.window_ns or BAR_NS.get(source.schema)
        if size_ns is None:
            raise ConfigError(f"{self.path} holds {source.schema}: say how long a window is, as --window 1s")
        return size_ns

    def _directory(self, source: Source) -> InstrumentDirectory:
        relations = None if self.relations is None else read_relations(self.relations)
        announced = instrument_table([source], relations).announcements(_UNIVERSE)
        return InstrumentDirectory.from_instruments(announced, _UNIVERSE)


def parse_window(text: str | None) -> int | None:
    """Return a window's length in ns from text such as "1s"; None for None.

    Raises
    ------
    ConfigError
        If the text is no duration above zero.
    """
    if text is None:
        return None
    try:
        size_ns = parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"--window {text!r}: {error}") from error
    if size_ns <= 0:
        raise ConfigError(f"--window {text!r} must be above zero")
    return size_ns


def next_returns(run: GraphRun) -> Float32Array:
    """Compute the label: simple return from each close to the next window's, winsorized at +-40 %.

    Windows shorter than a day are labeled only where the next one follows without a gap: the return over a
    night or a pause is another thing than that of a minute. From a day on, the next trading day counts.

    Returns
    -------
    (T, N) float32; NaN where this or the next window has no close, before a gap, and in the last window.
    """
    close, mask = run.close, run.mask
    labels = np.full(mask.shape, np.nan, np.float32)
    both = mask[:-1] & mask[1:]
    if run.size_ns < NANOS_PER_DAY:
        both &= (np.diff(run.ts_close) == run.size_ns)[:, np.newaxis]
    before = np.where(mask[:-1], close[:-1], 1).astype(np.float64)
    change = np.where(mask[1:], close[1:], 1) / before - 1.0
    labels[:-1] = np.where(both, np.clip(change, -RETURN_LIMIT, RETURN_LIMIT), np.nan)
    return labels


def continuously_present(mask: BoolArray, history: int = HISTORY) -> BoolArray:
    """Return (T, N) whether an instrument is present in this window and the `history` before it."""
    count = np.zeros(mask.shape[1], np.int64)
    out = np.zeros(mask.shape, np.bool_)
    for t, here in enumerate(mask):
        count = np.where(here, count + 1, 0)
        out[t] = count > history
    return out


def labeled_until(
    run: GraphRun, train_end: date, valid_end: date, history: int = HISTORY
) -> LabeledSnapshots:
    """Label a run and cut it after two dates, UTC, each the last of its part; later windows are dropped.

    Labels are kept of those that were present in the `history` windows before without a gap.

    Raises
    ------
    TrainingError
        If the dates are not in order, or leave a part without a window.
    """
    if not train_end < valid_end:
        raise TrainingError(f"--train-end ({train_end}) must be before --valid-end ({valid_end})")
    opens = run.ts_close - run.size_ns
    train_stop, valid_stop = (
        int(np.searchsorted(opens, end_of_day_ns(day))) for day in (train_end, valid_end)
    )
    if train_stop < history + 2 or valid_stop - train_stop < 2:
        raise TrainingError(
            f"the panel has {train_stop} windows up to {train_end} and {valid_stop - train_stop} more up to "
            f"{valid_end}; training needs {history + 2} and 2"
        )
    labels = next_returns(run)
    labels[~continuously_present(run.mask, history)] = np.nan
    part = snapshots_of(run).window(0, valid_stop)
    return LabeledSnapshots(part, labels[:valid_stop], train_stop, valid_stop)


def window_date(run: GraphRun, t: int) -> str:
    """Return the UTC date on which window t opened, ISO 8601."""
    return (_EPOCH + timedelta(microseconds=int(run.ts_close[t] - run.size_ns) // 1000)).date().isoformat()


def end_of_day_ns(day: date) -> int:
    """Return the midnight, UTC, at which a day ends."""
    return ((day - _EPOCH.date()).days + 1) * NANOS_PER_DAY
