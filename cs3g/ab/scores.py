"""One model's scores, laid on the market's windows and instruments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cs3g.ab.market import Market
from cs3g_model.manifest import Manifest
from topics.digest import prediction_digest
from topics.runs import PredictionRun
from topics.types import BoolArray, Float64Array

__all__ = ["ModelScores", "lay_scores"]

AnyInts = NDArray[np.integer]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class ModelScores:
    """What one model predicted.

    Attributes
    ----------
    name
        In the report.
    manifest
        Of the model.
    scores
        (T, N) float64; NaN where it made none.
    warmup
        (T,) windows to leave out of every statistic: not scored, or scored while the model warms up.
    digest
        `sha256:<hex>` of the predictions under the model's own role, whatever role it served in.
    """

    name: str
    manifest: Manifest
    scores: Float64Array
    warmup: BoolArray
    digest: str


def lay_scores(name: str, manifest: Manifest, runs: Sequence[PredictionRun], market: Market) -> ModelScores:
    """Lay consecutive runs of one model on a market.

    Parameters
    ----------
    name
        In the report.
    runs
        Each window once, in order; windows and instruments that the market lacks are left out.
    """
    scores = np.full(market.close.shape, np.nan)
    warmup = np.ones(len(market.ts_close), np.bool_)
    for run in runs:
        known, rows = _places(market.ts_close, run.ts_close)
        listed, columns = _places(market.instrument_ids, run.instrument_ids)
        values = np.where(run.mask, run.scores, np.nan)[np.ix_(known, listed)]
        scores[np.ix_(rows, columns)] = values
        warmup[rows] = run.warmup[known]
    digest = prediction_digest(replace(run, role=manifest.role) for run in runs)
    return ModelScores(name, manifest, scores, warmup, digest)


def _places(here: AnyInts, wanted: AnyInts) -> tuple[Places, Places]:
    """Return which of the wanted are here, and where; both ascending."""
    known = np.flatnonzero(np.isin(wanted, here))
    return known, np.searchsorted(here, wanted[known])
