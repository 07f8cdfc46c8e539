"""What `cs3g train` and `cs3g distill` share: the data's options, progress, and metrics for the manifest."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from cs3g.panel_data import HISTORY, continuously_present, labeled_until, next_returns, window_date
from cs3g.universe import warn_if_thin
from cs3g_model.config import TrainConfig
from cs3g_model.dataset import LabeledSnapshots, chunk_starts
from cs3g_model.errors import ConfigError
from cs3g_model.metrics import agreement, bootstrap_mean, ic, rank_ic
from cs3g_model.protocol import StreamingModel
from cs3g_model.training.options import Progress
from pipeline.graphs import snapshots_of
from topics.runs import GraphRun
from topics.types import BoolArray, Float32Array

ENOUGH_UPDATES: Final = 230
"""Three passes over five years of days. With fewer a student has not learned yet what its teacher says."""


@dataclass(frozen=True, slots=True)
class History:
    """A file's snapshots, the part that is trained on, and where the test part ends.

    Attributes
    ----------
    test_stop
        Windows [valid_stop, test_stop) are looked at once, after training; equal to valid_stop for none.
    history
        Windows before, without a gap, in which an instrument that counts was present.
    """

    run: GraphRun
    data: LabeledSnapshots
    test_stop: int
    history: int = HISTORY

    @classmethod
    def split(
        cls,
        run: GraphRun,
        train_end: date,
        valid_end: date,
        test_end: date | None,
        history: int = HISTORY,
    ) -> History:
        """Cut a run after three dates, each the last of its part; see `labeled_until`."""
        data = labeled_until(run, train_end, valid_end, history)
        test_stop = data.valid_stop
        if test_end is not None:
            test_stop = labeled_until(run, valid_end, test_end, history).valid_stop
        return cls(run, data, test_stop, history)

    def warn_if_thin(self) -> None:
        """Print a warning where few of the instruments with a price are fitted and judged."""
        mask = self.run.mask[: self.test_stop]
        warn_if_thin(mask, continuously_present(mask, self.history), self.history)

    def splits(self) -> dict[str, tuple[str, str]]:
        """Return the first and last date of each part."""
        parts = self.parts() | {"train": (0, self.data.train_stop)}
        return {
            name: (window_date(self.run, start), window_date(self.run, stop - 1))
            for name, (start, stop) in parts.items()
        }

    def metrics(self, model: StreamingModel, teacher: StreamingModel | None = None) -> dict[str, Any]:
        """Score the history with what serves, and judge it; see `judged`."""
        return self.judged(self.scores(model), None if teacher is None else self.scores(teacher))

    def judged(self, scores: Float32Array, told: Float32Array | None = None) -> dict[str, Any]:
        """Judge scores on every part but the training one.

        Parameters
        ----------
        scores
            (T, N), T = test_stop.
        told
            A teacher's, to compare with.

        Returns
        -------
        dict[str, Any]
            Per part: windows, IC, rank IC with its bootstrap limits, the same of one-window reversal, and the
            rank agreement with a teacher.
        """
        returns = next_returns(self.run)
        past = np.full_like(returns, np.nan)
        past[1:] = returns[:-1]
        known = continuously_present(self.run.mask, self.history)
        out: dict[str, Any] = {}
        for name, (start, stop) in self.parts().items():
            part = slice(start, stop - 1)  # the last label is realized in the next part
            counts: BoolArray = known[part] & np.isfinite(returns[part])
            label = returns[part]
            out[f"{name}_windows"] = stop - 1 - start
            out[f"{name}_ic"] = float(np.nanmean(ic(scores[part], label, counts)))
            out[f"{name}_rank_ic"] = asdict(bootstrap_mean(rank_ic(scores[part], label, counts)))
            reversal = rank_ic(-past[part], label, counts)
            out[f"{name}_reversal_rank_ic"] = asdict(bootstrap_mean(reversal))
            if told is not None:
                out[f"{name}_agreement"] = float(np.nanmean(agreement(scores[part], told[part], counts)))
                paired = rank_ic(scores[part], label, counts) - rank_ic(told[part], label, counts)
                out[f"{name}_rank_ic_minus_teacher"] = asdict(bootstrap_mean(paired))
        return out

    def parts(self) -> dict[str, tuple[int, int]]:
        """Return the windows [start, stop) of each part but the training one."""
        parts = {"valid": (self.data.train_stop, self.data.valid_stop)}
        if self.test_stop > self.data.valid_stop:
            parts["test"] = (self.data.valid_stop, self.test_stop)
        return parts

    def scores(self, model: StreamingModel) -> Float32Array:
        """Score windows [0, test_stop) with what serves; (test_stop, N)."""
        part = snapshots_of(self.run).window(0, self.test_stop)
        scores, _ = model.step_many(part, model.initial_state(part.mask.shape[1]))
        return scores


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[Progress], None]]:
    """Show a fit's progress with the remaining time; plain lines where there is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[note]}"))
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, note="")

        def update(p: Progress) -> None:
            note = f"loss {p.loss:.4f}  valid rank IC {p.valid_rank_ic:.4f}  at most {p.remaining_s:.0f} s"
            bar.update(
                task,
                total=p.epochs * p.steps,
                completed=p.epoch * p.steps + p.step,
                description=f"{title} {p.epoch + 1}/{p.epochs}",
                note=note,
            )
            if p.step == p.steps and not console.is_terminal:
                console.print(f"{title}: epoch {p.epoch + 1}/{p.epochs}  {note}")

        yield update


def with_enough_updates(settings: TrainConfig, data: LabeledSnapshots) -> TrainConfig:
    """Return the settings with as many passes as make `ENOUGH_UPDATES`, where theirs make fewer."""
    updates_of_a_pass = max(1, len(chunk_starts(data, settings.chunk)))
    passes = math.ceil(ENOUGH_UPDATES / updates_of_a_pass)
    return msgspec.structs.replace(settings, epochs=max(settings.epochs, passes))


def read_settings(path: Path | None, tables: dict[str, type[msgspec.Struct]]) -> dict[str, dict[str, Any]]:
    """Read the settings that a TOML file changes, by table.

    Raises
    ------
    ConfigError
        If the file is missing or no TOML, or names an unknown table or setting, or one of the wrong type.
    """
    if path is None:
        return {name: {} for name in tables}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    unknown = sorted(set(found) - set(tables))
    if unknown:
        raise ConfigError(f"{path}: unknown tables {unknown}, known are {sorted(tables)}")
    for name, struct in tables.items():
        try:
            msgspec.convert(found.get(name, {}), struct)
        except msgspec.ValidationError as error:
            raise ConfigError(f"{path}, table [{name}]: {error}") from error
    return {name: dict(found.get(name, {})) for name in tables}
