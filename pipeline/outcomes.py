"""Mature windows to outcomes: how well each role predicted, how far the roles agree, how far the stream moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from cs3g_model.features import RETURN_LIMIT
from cs3g_model.metrics import agreement, ic, rank_ic
from pipeline.drift import DriftState, encode_values, observe
from pipeline.outcomes_config import OutcomesConfig
from pipeline.outcomes_pieces import Mature, Scored
from pipeline.outcomes_state import OutcomesState, RoleState
from topics.control import Outcome
from topics.types import BoolArray, Float64Array, Role

_Metric = Callable[[Float64Array, Float64Array, BoolArray], Float64Array]
_ROLE_ORDER: Final[tuple[Role, ...]] = ("student", "teacher")


@dataclass(frozen=True, slots=True)
class SettledWindow:
    """A window about which nothing more will be known.

    Attributes
    ----------
    ts_close
        Its end, ns.
    matured_ns
        End of the snapshot that decided its label: the time at which all this is known.
    outcomes
        The student's and the teacher's, as far as they predicted it.
    """

    ts_close: int
    matured_ns: int
    outcomes: tuple[Outcome, ...]


def settle(
    mature: Mature, state: OutcomesState, config: OutcomesConfig, *, universe: str, size_ns: int
) -> tuple[list[SettledWindow], OutcomesState]:
    """Return the outcomes of mature windows, ascending, and the state after them. Pure.

    A window has an outcome of each role that predicted it. In a model's warm-up it says None for everything, and
    enters no statistic. Drift is measured since the model began to serve: with another model, the reference
    period starts anew. Windows that are settled already must not be among them.

    Parameters
    ----------
    size_ns
        Length of a window, ns.
    """
    labels = np.clip(mature.close_after / mature.close - 1.0, -RETURN_LIMIT, RETURN_LIMIT)
    both = _agreement(mature.scored)
    roles = dict(state.roles)
    rows: list[list[Outcome]] = [[] for _ in mature.ts_close]
    for role in _ROLE_ORDER:
        if role not in mature.scored:
            continue
        scored = mature.scored[role]
        ics = _compact(ic, scored.scores, labels)
        rank_ics = _compact(rank_ic, scored.scores, labels)
        counts = (np.isfinite(scored.scores) & np.isfinite(labels)).sum(axis=1)
        psi_features, psi_scores = _drift(mature, scored, role, roles, config)
        for t, model_id in enumerate(scored.model_ids):
            if not model_id:
                continue
            counted = not scored.warmup[t]
            rows[t].append(
                Outcome(
                    universe=universe,
                    role=role,
                    model_id=model_id,
                    ts_close=int(mature.ts_close[t]),
                    horizon_ns=config.horizon_windows * size_ns,
                    n_instruments=int(counts[t]),
                    ic=_value(ics[t]) if counted else None,
                    rank_ic=_value(rank_ics[t]) if counted else None,
                    agreement=_value(both[t]),
                    psi_features=_value(psi_features[t]),
                    psi_scores=_value(psi_scores[t]),
                )
            )
    after = replace(state, ts_close=int(mature.ts_close[-1]), roles=roles)
    times = zip(mature.ts_close.tolist(), mature.matured_ns.tolist(), rows, strict=True)
    return [SettledWindow(ts_close, matured_ns, tuple(row)) for ts_close, matured_ns, row in times], after


def _agreement(scored: dict[Role, Scored]) -> Float64Array:
    student, teacher = scored.get("student"), scored.get("teacher")
    if student is None or teacher is None:
        return np.full(len(next(iter(scored.values())).warmup), np.nan)
    found = _compact(agreement, student.scores, teacher.scores)
    return np.where(student.warmup | teacher.warmup, np.nan, found)


def _compact(metric: _Metric, a: Float64Array, b: Float64Array) -> Float64Array:
    """Apply a metric to each window's common instruments only, (T,).

    Where the others stand in the array depends on how runs were cut, and zeros between summands change how numpy
    adds them. So windows with as many instruments go together, without gaps.
    """
    common = np.isfinite(a) & np.isfinite(b)
    counts = common.sum(axis=1)
    order = np.argsort(~common, axis=1, kind="stable")
    out = np.full(len(a), np.nan)
    for count in np.unique(counts[counts >= 2]).tolist():
        rows = np.flatnonzero(counts == count)
        columns = order[rows, :count]
        x, y = (np.take_along_axis(values[rows], columns, axis=1) for values in (a, b))
        out[rows] = metric(x, y, np.ones(x.shape, np.bool_))
    return out


def _drift(
    mature: Mature, scored: Scored, role: Role, roles: dict[Role, RoleState], config: OutcomesConfig
) -> tuple[Float64Array, Float64Array]:
    """Return the index of features and scores, (T,) each, and put the role's new state into `roles`."""
    n_windows = len(mature.ts_close)
    psi_features, psi_scores = np.full(n_windows, np.nan), np.full(n_windows, np.nan)
    present = np.isfinite(scored.scores)
    score_codes = encode_values(np.where(present, scored.scores, 0.0)[..., np.newaxis], present)
    n_features = mature.codes.shape[2]
    for model_id, rows in _stretches(scored):
        found = roles.get(role)
        if found is None or found.model_id != model_id or len(found.features.reference) != n_features:
            found = RoleState(model_id, DriftState.initial(n_features), DriftState.initial(1))
        periods = {
            "reference_windows": config.reference_windows,
            "recent_windows": config.recent_windows,
        }
        by_feature, features = observe(mature.codes[rows], found.features, **periods)
        by_score, scores = observe(score_codes[rows], found.scores, **periods)
        if n_features:
            psi_features[rows] = by_feature.max(axis=1)
        psi_scores[rows] = by_score[:, 0]
        roles[role] = RoleState(model_id, features, scores)
    return psi_features, psi_scores


def _stretches(scored: Scored) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each model with its windows after the warm-up, in order."""
    usable = np.flatnonzero([bool(name) for name in scored.model_ids] & ~scored.warmup)
    start = 0
    for place in range(1, len(usable) + 1):
        model_id = scored.model_ids[usable[start]]
        if place == len(usable) or scored.model_ids[usable[place]] != model_id:
            yield model_id, usable[start:place]
            start = place


def _value(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
