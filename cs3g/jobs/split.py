"""A job's history in time order: windows to fit, windows to choose by, and later ones to judge by.

The judged windows decide about the model's promotion, so nothing before that looks at them. A label spans one
window, and the last window of each part has none in it; so no part knows another's returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from cs3g.jobs.errors import JobError
from cs3g.panel_data import HISTORY, continuously_present, next_returns, window_date
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.errors import ConfigError, TrainingError
from pipeline.graphs import snapshots_of
from topics.runs import GraphRun
from topics.types import BoolArray, Float32Array

__all__ = ["JobHistory", "Shares", "split_history"]

MIN_JUDGED: Final = 3
"""Fewest windows of the judged part; for a promotion a verdict wants more."""


class Shares(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the windows is fitted and chosen by; the rest is judged by.

    Attributes
    ----------
    fit, choose
        In (0, 1), together below 1.
    """

    fit: float = 0.6
    choose: float = 0.15

    def __post_init__(self) -> None:
        if not (self.fit > 0 and self.choose > 0 and self.fit + self.choose < 1):
            raise ConfigError(
                f"the shares `fit` (={self.fit}) and `choose` (={self.choose}) must be above 0, together below 1"
            )


@dataclass(frozen=True, slots=True)
class JobHistory:
    """A history of T windows with its labels, cut in three.

    Attributes
    ----------
    run
        All T windows.
    data
        Windows [0, fit stop) to fit and [fit stop, choose stop) to choose by.
    labels
        (T, N) float32 return to the next window's close, NaN where none counts.
    """

    run: GraphRun
    data: LabeledSnapshots
    labels: Float32Array

    @property
    def judged(self) -> slice:
        """The windows to judge by, without the last, whose label lies behind the history."""
        return slice(self.data.valid_stop, len(self.labels) - 1)

    @property
    def counts(self) -> BoolArray:
        """(T, N) whether the instrument has a label that counts."""
        return self.run.mask & np.isfinite(self.labels)

    def dates(self) -> dict[str, tuple[str, str]]:
        """Return the first and last UTC date of each part."""
        fit, choose, total = self.data.train_stop, self.data.valid_stop, len(self.labels)
        parts = {"train": (0, fit), "valid": (fit, choose), "judged": (choose, total)}
        return {
            name: (window_date(self.run, start), window_date(self.run, stop - 1))
            for name, (start, stop) in parts.items()
        }


def split_history(run: GraphRun, shares: Shares | None = None) -> JobHistory:
    """Label a run and cut it by time.

    Parameters
    ----------
    run
        T windows in order.
    shares
        Of the parts; the defaults for None.

    Raises
    ------
    JobError
        If a part would have too few windows, or the windows to fit hold nothing to learn.
    """
    shares = shares or Shares()
    total = len(run.ts_close)
    fit_stop = int(total * shares.fit)
    choose_stop = int(total * (shares.fit + shares.choose))
    if fit_stop < HISTORY + 2 or choose_stop - fit_stop < 2 or total - choose_stop < MIN_JUDGED:
        raise JobError(
            f"the range holds {total} windows: {fit_stop} to fit, {choose_stop - fit_stop} to choose by and "
            f"{total - choose_stop} to judge by; {HISTORY + 2}, 2 and {MIN_JUDGED} are needed: widen the range"
        )
    labels = next_returns(run)
    labels[~continuously_present(run.mask)] = np.nan
    part = snapshots_of(run).window(0, choose_stop)
    try:
        data = LabeledSnapshots(part, labels[:choose_stop], fit_stop, choose_stop)
    except TrainingError as error:
        raise JobError(f"nothing can be learned from the range: {error}") from error
    return JobHistory(run, data, labels)
