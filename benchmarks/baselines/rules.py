"""Baselines without parameters, or with one that the validation part chooses."""

from __future__ import annotations

import time
from typing import Final

import numpy as np

from benchmarks.baselines.panel import FloatArray
from benchmarks.baselines.study import Fitted, Study

_LOOK_BACK: Final = 128
_SOURCES: Final = 8
_STRIDE: Final = 8
_THRESHOLDS: Final = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35)
_LIMIT: Final = 5.0


def reversal(study: Study, seed: int, cap_s: float) -> Fitted:
    """Score what fell by how far it fell: minus the last return."""
    scores = np.where(study.known, -study.returns, np.nan)
    return Fitted(scores, {"valid_rank_ic": study.valid_rank_ic(scores), "parameters": 0, "seconds": 0.0})


def equal_weight(study: Study, seed: int, cap_s: float) -> Fitted:
    """Score everything the same: rank IC 0, and the book that all others are compared with."""
    scores = np.where(study.known, 0.0, np.nan)
    return Fitted(scores, {"valid_rank_ic": study.valid_rank_ic(scores), "parameters": 0, "seconds": 0.0})


def lead_lag(study: Study, seed: int, cap_s: float) -> Fitted:
    """Follow the eight instruments whose returns of a window before were most correlated over 128 windows.

    Returns are standardized over each cross-section by median and median deviation. The score is the sum of the
    softly thresholded correlations times the sources' last returns; the threshold is chosen by validation.
    """
    started = time.process_time()
    z = standardized(study)
    first = int(min(study.valid[0], study.test[0]))
    scores = {threshold: np.full(study.shape, np.nan) for threshold in _THRESHOLDS}
    best = np.zeros((study.shape[1], 0), np.int64)
    weights = np.zeros(best.shape)
    for t in range(first, study.shape[0]):
        if (t - first) % _STRIDE == 0:
            correlation = lagged_correlation(z[max(0, t - _LOOK_BACK) : t + 1])
            np.fill_diagonal(correlation, 0.0)
            count = min(_SOURCES, study.shape[1])
            best = np.argpartition(-np.abs(correlation), count - 1, axis=1)[:, :count]
            weights = np.take_along_axis(correlation, best, axis=1)
        for threshold, into in scores.items():
            kept = np.sign(weights) * np.maximum(np.abs(weights) - threshold, 0.0)
            into[t] = np.where(study.known[t], (kept * z[t][best]).sum(axis=1), np.nan)
    chosen = max(_THRESHOLDS, key=lambda threshold: study.valid_rank_ic(scores[threshold]))
    about = {
        "valid_rank_ic": study.valid_rank_ic(scores[chosen]),
        "parameters": 1,
        "threshold": chosen,
        "seconds": time.process_time() - started,
    }
    return Fitted(scores[chosen], about)


def standardized(study: Study) -> FloatArray:
    """Return (T, N) last returns over each cross-section's median and median deviation, 0 for none."""
    out = np.zeros(study.shape)
    for t, returns in enumerate(study.returns):
        here = np.isfinite(returns)
        if here.any():
            centered = returns[here] - np.median(returns[here])
            scale = 1.4826 * np.median(np.abs(centered)) + 1e-9
            out[t, here] = np.clip(centered / scale, -_LIMIT, _LIMIT)
    return out


def lagged_correlation(z: FloatArray) -> FloatArray:
    """Return (N, N) correlations of row instruments with column instruments one window before; z is (W + 1, N)."""
    if len(z) < 2:
        return np.zeros((z.shape[1], z.shape[1]))
    now, before = z[1:] - z[1:].mean(axis=0), z[:-1] - z[:-1].mean(axis=0)
    scale = np.sqrt(np.outer((now**2).sum(axis=0), (before**2).sum(axis=0)))
    return np.asarray(now.T @ before / np.maximum(scale, 1e-12))
