"""A panel cut into parts, with inputs and labels: what every baseline is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines.inputs import Inputs, build_inputs, known, last_returns
from benchmarks.baselines.panel import LAGS, BoolArray, FloatArray, Int64Array, Panel
from cs3g_model.metrics import rank_ic
from replay.errors import ConfigError

_TARGET_LIMIT: Final = 3.0
_MANY: Final = 100


@dataclass(frozen=True, slots=True)
class Study:
    """One panel and its three parts; the last window of each has its label in the next and is left out.

    Attributes
    ----------
    panel
        The bars.
    inputs
        Of all windows.
    known
        (T, N) bool, who has inputs.
    labels
        (T, N) float64 next returns, NaN for none or without inputs.
    returns
        (T, N) float64 last returns.
    train, valid
        Windows to fit, and to choose by: those with instruments enough.
    test
        Windows to predict, all of the part.
    """

    panel: Panel
    inputs: Inputs
    known: BoolArray
    labels: FloatArray
    returns: FloatArray
    train: Int64Array
    valid: Int64Array
    test: Int64Array

    @property
    def shape(self) -> tuple[int, int]:
        """Return (T, N)."""
        return self.known.shape[0], self.known.shape[1]

    def targets(self, t: int) -> tuple[BoolArray, NDArray[np.float32]]:
        """Return which rows of window t have labels, and those labels as z-scores, clipped at +-3."""
        labels = self.labels[t, self.inputs.instruments[self.inputs.rows(t)]]
        scored = np.isfinite(labels)
        values = labels[scored]
        z = (values - values.mean()) / (values.std() + 1e-12)
        return scored, np.clip(z, -_TARGET_LIMIT, _TARGET_LIMIT).astype(np.float32)

    def valid_rank_ic(self, scores: FloatArray) -> float:
        """Return the mean rank IC over the validation windows of scores (T, N)."""
        labels = self.labels[self.valid]
        return float(np.nanmean(rank_ic(scores[self.valid], labels, np.isfinite(labels))))


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a baseline made of a study.

    Attributes
    ----------
    scores
        (T, N) float64, NaN where it has none; validation and test windows are there.
    about
        Validation rank IC, seconds, parameters, what was chosen.
    """

    scores: FloatArray
    about: dict[str, Any]


def make_study(panel: Panel, train_end: date, valid_end: date, test_end: date | None = None) -> Study:
    """Cut a panel after two dates, UTC, each the last of its part, and build its inputs.

    Raises
    ------
    ConfigError
        If the dates are not in order, or a part is left without a window.
    """
    ends = [train_end, valid_end, *([] if test_end is None else [test_end])]
    if sorted(set(ends)) != ends:
        raise ConfigError(f"the ends of the parts must ascend, were {', '.join(map(str, ends))}")
    bounds: list[int | None] = [None, *(_stop_ns(day) for day in ends)]
    parts = [panel.windows_of(first, stop) for first, stop in zip(bounds, [*bounds[1:], None], strict=True)]
    usable = known(panel)
    labels = np.where(usable, panel.labels(), np.nan)
    train, valid = (_with_many(part[part >= LAGS][:-1], labels) for part in parts[:2])
    for name, part in (("train", train), ("valid", valid), ("test", parts[2])):
        if not len(part):
            raise ConfigError(
                f"no window is left of the {name} part; the ends are {', '.join(map(str, ends))}"
            )
    inputs = build_inputs(panel, train)
    return Study(panel, inputs, usable, labels, last_returns(panel), train, valid, parts[2])


def _with_many(windows: Int64Array, labels: FloatArray) -> Int64Array:
    """Return the windows with 100 labels, or half of the median's where that has fewer."""
    counts = np.isfinite(labels[windows]).sum(axis=1)
    median = int(np.median(counts)) if len(counts) else 0
    least = _MANY if median >= _MANY else max(2, median // 2)
    return np.asarray(windows[counts >= least])


def _stop_ns(day: date) -> int:
    stop = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)
    return int(stop.timestamp()) * 10**9
