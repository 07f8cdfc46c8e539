"""Baselines that see an instrument's 96 inputs as one row: ridge regression and LightGBM."""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines.panel import FloatArray, Int64Array
from benchmarks.baselines.study import Fitted, Study

_PENALTIES: Final = tuple(10.0**power for power in range(-1, 8))
_TREES: Final = {
    "objective": "regression",
    "num_leaves": 31,
    "learning_rate": 0.05,
    "min_data_in_leaf": 500,
    "max_bin": 63,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
    "feature_fraction": 0.5,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
_MOST_TREES: Final = 1000
_CHECK_EVERY: Final = 10
_PATIENCE: Final = 8


def ridge(study: Study, seed: int, cap_s: float) -> Fitted:
    """Fit a linear model of the 96 inputs; validation rank IC chooses the penalty."""
    started = time.process_time()
    width = int(np.prod(study.inputs.values.shape[1:]))
    gram, moment = np.zeros((width, width)), np.zeros(width)
    for t in study.train:
        scored, target = study.targets(t)
        x = study.inputs.window(t).reshape(-1, width)[scored].astype(np.float64)
        gram += x.T @ x
        moment += x.T @ target
    best: tuple[float, float, FloatArray] | None = None
    for penalty in _PENALTIES:
        weights: FloatArray = np.linalg.solve(gram + penalty * np.eye(width), moment).astype(np.float64)
        quality = study.valid_rank_ic(_linear(study, weights, study.valid))
        if best is None or quality > best[0]:
            best = (quality, penalty, weights)
    assert best is not None  # noqa: S101  # there are penalties
    quality, penalty, weights = best
    scores = _linear(study, weights, np.concatenate([study.valid, study.test]))
    about = {"valid_rank_ic": quality, "parameters": width, "penalty": penalty}
    return Fitted(scores, about | {"seconds": time.process_time() - started})


def lightgbm(study: Study, seed: int, cap_s: float) -> Fitted:
    """Fit boosted trees; validation rank IC, looked at every ten trees, chooses their number."""
    import lightgbm as library

    started = time.process_time()
    train = [(t, *study.targets(t)) for t in study.train]
    x = np.concatenate([_flat(study, t)[scored] for t, scored, _ in train])
    y = np.concatenate([target for _, _, target in train])
    settings: dict[str, Any] = {**_TREES, "seed": seed}
    settings["min_data_in_leaf"] = min(settings["min_data_in_leaf"], max(1, len(y) // 100))
    booster = library.Booster(settings, library.Dataset(x, y, params=settings))
    valid = np.concatenate([_flat(study, t) for t in study.valid])
    raw = np.zeros(len(valid))
    best, best_trees, waited, trees = -np.inf, 0, 0, 0
    while trees < _MOST_TREES and waited < _PATIENCE and time.process_time() - started < cap_s:
        for _ in range(_CHECK_EVERY):
            booster.update()
        raw += booster.predict(valid, start_iteration=trees, num_iteration=_CHECK_EVERY)
        trees += _CHECK_EVERY
        quality = study.valid_rank_ic(_spread(study, raw, study.valid))
        best, best_trees, waited = (quality, trees, 0) if quality > best else (best, best_trees, waited + 1)
    scores = np.full(study.shape, np.nan)
    for t in np.concatenate([study.valid, study.test]):
        rows = _flat(study, t)
        if len(rows):
            scores[t, study.inputs.instruments[study.inputs.rows(t)]] = booster.predict(
                rows, num_iteration=best_trees
            )
    leaves = sum(tree["num_leaves"] for tree in booster.dump_model()["tree_info"][:best_trees])
    about = {"valid_rank_ic": best, "trees": best_trees, "parameters": 3 * leaves - 2 * best_trees}
    return Fitted(scores, about | {"seconds": time.process_time() - started})


def _flat(study: Study, t: int) -> NDArray[np.float32]:
    x = study.inputs.window(t)
    return x.reshape(len(x), -1)


def _linear(study: Study, weights: FloatArray, windows: Int64Array) -> FloatArray:
    scores = np.full(study.shape, np.nan)
    for t in windows:
        scores[t, study.inputs.instruments[study.inputs.rows(t)]] = _flat(study, t) @ weights
    return scores


def _spread(study: Study, values: FloatArray, windows: Int64Array) -> FloatArray:
    """Lay scores of the windows' rows, one after the other, on (T, N)."""
    scores = np.full(study.shape, np.nan)
    start = 0
    for t in windows:
        n = study.inputs.instruments[study.inputs.rows(t)]
        scores[t, n] = values[start : start + len(n)]
        start += len(n)
    return scores
