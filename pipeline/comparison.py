"""Teacher and student on the same windows: what each predicted, what the market did, and how sure one can be.

A label is the return from a window's close to the next window's, known only one window later; nothing here sees
it earlier. Controls stand beside the models: one-window reversal, and equal weight as the portfolios' benchmark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cs3g_model.metrics import agreement, bootstrap_mean, ic, information_ratio, rank_ic
from topics.runs import PredictionRun
from topics.types import UNDEF_PRICE, BoolArray, Float64Array, Int64Array, Role, UInt32Array

RETURN_LIMIT: Final = 0.40
"""Returns beyond are taken as +-40 %, as in training: nearly all are genuine, a few are unadjusted splits."""

MAX_BOOTSTRAP_CELLS: Final = 20_000_000
"""Draws x windows that a bootstrap may hold at once."""

EQUIVALENCE_MARGIN: Final = 0.005
"""Mean rank IC within which student and teacher count as equivalent."""


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """One model's scores, (T, N); NaN where it made none.

    Attributes
    ----------
    warmup
        (T,) windows to leave out of every statistic.
    """

    role: Role
    model_id: str
    ts_close: Int64Array
    instrument_ids: UInt32Array
    symbols: tuple[str, ...]
    scores: Float64Array
    warmup: BoolArray


@dataclass(frozen=True, slots=True)
class CloseTable:
    """Last prices (T, N) as floats in currency; NaN where an instrument did not tick."""

    ts_close: Int64Array
    instrument_ids: UInt32Array
    close: Float64Array


def score_table(runs: Sequence[PredictionRun]) -> ScoreTable:
    """Stack consecutive runs of one model over the union of their instruments.

    Raises
    ------
    ValueError
        There is no run, or they are of several models.
    """
    if len({(run.role, run.model_id) for run in runs}) != 1:
        raise ValueError(f"`runs` ({len(runs)} of them) must be of exactly one model")
    last = runs[-1]
    ids = last.instrument_ids
    n_windows = sum(len(run.ts_close) for run in runs)
    scores = np.full((n_windows, len(ids)), np.nan)
    start = 0
    for run in runs:
        rows = slice(start, start + len(run.ts_close))
        scores[rows, np.searchsorted(ids, run.instrument_ids)] = np.where(run.mask, run.scores, np.nan)
        start = rows.stop
    return ScoreTable(
        role=last.role,
        model_id=last.model_id,
        ts_close=np.concatenate([run.ts_close for run in runs]),
        instrument_ids=ids,
        symbols=last.symbols,
        scores=scores,
        warmup=np.concatenate([run.warmup for run in runs]),
    )


def close_table(pieces: Iterable[tuple[Int64Array, UInt32Array, Int64Array]]) -> CloseTable:
    """Stack consecutive (ts_close, instrument_ids, close in 1e-9) over the instruments of the last.

    Raises
    ------
    ValueError
        There is no piece.
    """
    found = list(pieces)
    if not found:
        raise ValueError("`pieces` must hold at least one run of snapshots")
    ids = found[-1][1]
    close = np.full((sum(len(ts) for ts, _, _ in found), len(ids)), np.nan)
    start = 0
    for ts_close, piece_ids, prices in found:
        rows = slice(start, start + len(ts_close))
        close[rows, np.searchsorted(ids, piece_ids)] = np.where(prices == UNDEF_PRICE, np.nan, prices * 1e-9)
        start = rows.stop
    return CloseTable(np.concatenate([ts for ts, _, _ in found]), ids, close)


def next_returns(close: Float64Array) -> Float64Array:
    """Return each window's label (T, N): the return to the next window, NaN where either price is missing."""
    labels = np.full(close.shape, np.nan)
    if len(close) > 1:
        labels[:-1] = np.clip(close[1:] / close[:-1] - 1.0, -RETURN_LIMIT, RETURN_LIMIT)
    return labels


@dataclass(frozen=True, slots=True)
class Comparison:
    """Per-window series of models and controls on the same windows and instruments.

    Attributes
    ----------
    ts_close
        (T,) windows that count.
    rank_ics
        (T,) rank IC by name: the models' roles and "reversal".
    agreement
        (T,) rank correlation of the two models' scores; None with one model.
    summary
        Everything that a report states, as plain values.
    """

    ts_close: Int64Array
    rank_ics: dict[str, Float64Array]
    agreement: Float64Array | None
    summary: dict[str, Any]


def compare(tables: Sequence[ScoreTable], closes: CloseTable, *, seed: int = 0) -> Comparison:
    """Compare models on the windows and instruments that all of them scored. Pure.

    Parameters
    ----------
    tables
        One or two models' scores of the same universe.
    closes
        Prices of the same windows.
    seed
        Of the bootstrap.

    Raises
    ------
    ValueError
        No window was scored by every model after its warm-up, with a label.
    """
    labels = next_returns(closes.close)
    past = np.full_like(labels, np.nan)
    past[1:] = labels[:-1]
    common = closes.ts_close
    for table in tables:
        common = np.intersect1d(common, table.ts_close[~table.warmup])
    rows = np.searchsorted(closes.ts_close, common)
    scores: dict[str, Float64Array] = {
        table.role: _on(table, common, closes.instrument_ids) for table in tables
    }
    scores_of_all = np.stack(list(scores.values()))
    mask = np.isfinite(scores_of_all).all(axis=0) & np.isfinite(labels[rows])
    counted = mask.sum(axis=1) >= 2
    if not counted.any():
        raise ValueError(
            "no window has two instruments that every model scored after its warm-up and whose next price"
            " is known: replay more windows or more instruments"
        )
    rows, mask = rows[counted], mask[counted]
    scores = {role: values[counted] for role, values in scores.items()}
    realized = labels[rows]
    reversal = -np.where(np.isfinite(past[rows]), past[rows], 0.0)
    predictors = {**scores, "reversal": reversal}
    rank_ics = {name: rank_ic(values, realized, mask) for name, values in predictors.items()}
    summary: dict[str, Any] = {
        "windows": int(counted.sum()),
        "instruments": int(mask.any(axis=0).sum()),
        "pairs": int(mask.sum()),
        "equal_weight_mean_return": float(realized[mask].mean()),
        "predictors": {
            name: _predictor_summary(values, realized, mask, rank_ics[name], seed)
            for name, values in predictors.items()
        },
    }
    both = None
    if {"student", "teacher"} <= scores.keys():
        both = agreement(scores["student"], scores["teacher"], mask)
        difference = rank_ics["student"] - rank_ics["teacher"]
        summary["student_minus_teacher"] = _difference_summary(difference, seed)
        summary["agreement_mean"] = float(np.nanmean(both))
    return Comparison(closes.ts_close[rows], rank_ics, both, summary)


def _on(table: ScoreTable, ts_close: Int64Array, instrument_ids: UInt32Array) -> Float64Array:
    """Return the table's scores on other windows and instruments, NaN where it has none."""
    out = np.full((len(ts_close), len(instrument_ids)), np.nan)
    known = np.isin(table.instrument_ids, instrument_ids)
    rows = np.searchsorted(table.ts_close, ts_close)
    out[:, np.searchsorted(instrument_ids, table.instrument_ids[known])] = table.scores[rows][:, known]
    return out


def _predictor_summary(
    scores: Float64Array, labels: Float64Array, mask: BoolArray, ranked: Float64Array, seed: int
) -> dict[str, float]:
    interval = bootstrap_mean(ranked, draws=_draws(len(ranked)), seed=seed)
    correlations = ic(scores, labels, mask)
    return {
        "ic": float(np.nanmean(correlations)),
        "rank_ic": interval.mean,
        "rank_ic_low": interval.low,
        "rank_ic_high": interval.high,
        "rank_ic_ir": information_ratio(ranked),
    }


def _difference_summary(difference: Float64Array, seed: int) -> dict[str, Any]:
    draws = _draws(len(difference))
    interval = bootstrap_mean(difference, draws=draws, seed=seed)
    # Two one-sided tests at 5 %: the 90 % interval lies within the margin.
    inner = bootstrap_mean(difference, draws=draws, seed=seed, level=0.90)
    return {
        "rank_ic": interval.mean,
        "rank_ic_low": interval.low,
        "rank_ic_high": interval.high,
        "equivalence_margin": EQUIVALENCE_MARGIN,
        "equivalent": bool(inner.low > -EQUIVALENCE_MARGIN and inner.high < EQUIVALENCE_MARGIN),
    }


def _draws(n_windows: int) -> int:
    return max(200, min(2000, MAX_BOOTSTRAP_CELLS // max(1, n_windows)))
