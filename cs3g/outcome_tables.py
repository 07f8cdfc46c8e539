"""Outcomes summed up by role and model: what a person asks of a stream of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from cs3g_model.metrics import bootstrap_mean
from topics.control import Outcome
from topics.types import Role


@dataclass(frozen=True, slots=True)
class OutcomeSummary:
    """One model's outcomes.

    Attributes
    ----------
    first_ts_close, last_ts_close
        ns, of all its windows.
    windows, warmup_windows
        With a rank IC, and without one: in the warm-up, or with fewer than two instruments.
    ic, rank_ic, agreement
        Means over windows; None where there is none.
    rank_ic_low, rank_ic_high
        95 % by the stationary bootstrap.
    psi_features, psi_scores
        Of the last window that has them.
    """

    role: Role
    model_id: str
    first_ts_close: int
    last_ts_close: int
    windows: int
    warmup_windows: int
    ic: float | None
    rank_ic: float | None
    rank_ic_low: float | None
    rank_ic_high: float | None
    agreement: float | None
    psi_features: float | None
    psi_scores: float | None

    def to_row(self) -> dict[str, object]:
        """Return the fields as plain values."""
        return asdict(self)


def summarize(outcomes: Iterable[Outcome]) -> list[OutcomeSummary]:
    """Return a summary of each stretch of windows that one model of a role served, in order of their beginning."""
    stretches: dict[tuple[Role, str, int], list[Outcome]] = {}
    current: dict[Role, tuple[str, int]] = {}
    for outcome in outcomes:
        model_id, number = current.get(outcome.role, ("", 0))
        if outcome.model_id != model_id:
            number += 1
            current[outcome.role] = (outcome.model_id, number)
        stretches.setdefault((outcome.role, outcome.model_id, number), []).append(outcome)
    return [_summary(found) for found in stretches.values()]


def _summary(found: Sequence[Outcome]) -> OutcomeSummary:
    ranked = np.array([outcome.rank_ic for outcome in found if outcome.rank_ic is not None])
    # Two million draws x windows at most: a long stream needs no more for two digits of a limit.
    draws = max(100, min(2000, 2_000_000 // max(1, len(ranked))))
    interval = bootstrap_mean(ranked, draws=draws) if len(ranked) else None
    return OutcomeSummary(
        role=found[0].role,
        model_id=found[0].model_id,
        first_ts_close=found[0].ts_close,
        last_ts_close=found[-1].ts_close,
        windows=len(ranked),
        warmup_windows=len(found) - len(ranked),
        ic=_mean([outcome.ic for outcome in found]),
        rank_ic=None if interval is None else interval.mean,
        rank_ic_low=None if interval is None else interval.low,
        rank_ic_high=None if interval is None else interval.high,
        agreement=_mean([outcome.agreement for outcome in found]),
        psi_features=_last([outcome.psi_features for outcome in found]),
        psi_scores=_last([outcome.psi_scores for outcome in found]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _last(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)
