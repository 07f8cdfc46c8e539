"""The triggers: each a pure question to what is known at a window, with the measures that answer it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pipeline.durations import format_duration
from pipeline.trigger_config import TriggerPolicy
from pipeline.trigger_state import TriggerState
from topics.control import Outcome
from topics.types import NANOS_PER_SECOND, Float64Array

MAX_AUTOCORRELATION: Final = 0.9


@dataclass(slots=True)
class Findings:
    """What the triggers saw.

    Attributes
    ----------
    due
        (trigger, reason) of each that fired; the first names the job.
    measures
        What they looked at, by name.
    """

    due: list[tuple[str, str]] = field(default_factory=list)
    measures: dict[str, float] = field(default_factory=dict)


def check(policy: TriggerPolicy, state: TriggerState, outcome: Outcome) -> Findings:
    """Ask every trigger. Pure.

    Parameters
    ----------
    state
        With the window's own values in it.
    outcome
        The student's of that window.
    """
    found = Findings()
    _decay(policy, state, found)
    _disagreement(policy, state, found)
    _drift("feature-drift", "psi_features", outcome.psi_features, policy.max_psi_features, found)
    _drift("score-drift", "psi_scores", outcome.psi_scores, policy.max_psi_scores, found)
    _staleness(policy, state, found)
    _schedule(policy, state, found)
    return found


def mean_difference_z(reference: Float64Array, recent: Float64Array) -> float:
    """Return by how many standard errors the recent mean lies below the reference's.

    Welch's statistic, its error widened by (1 + r) / (1 - r) under the root for the reference's autocorrelation r
    at lag 1, as far as it is positive: labels overlap where the horizon is longer than a window. 0 where nothing
    varies.
    """
    variance = float(reference.var(ddof=1)) / len(reference) + float(recent.var(ddof=1)) / len(recent)
    r = min(max(_autocorrelation(reference), 0.0), MAX_AUTOCORRELATION)
    error = float(np.sqrt(variance * (1.0 + r) / (1.0 - r)))
    return (float(reference.mean()) - float(recent.mean())) / error if error > 0 else 0.0


def _autocorrelation(series: Float64Array) -> float:
    centered = series - series.mean()
    scale = float((centered * centered).sum())
    return float((centered[1:] * centered[:-1]).sum()) / scale if scale > 0 else 0.0


def _decay(policy: TriggerPolicy, state: TriggerState, found: Findings) -> None:
    reference, recent = state.reference, state.recent
    if len(recent) == 0:
        return
    found.measures["rank_ic_recent"] = float(recent.mean())
    if len(reference) < policy.decay_reference_windows or len(recent) < policy.decay_recent_windows:
        return
    before, now = float(reference.mean()), float(recent.mean())
    z = mean_difference_z(reference, recent)
    found.measures |= {"rank_ic_reference": before, "rank_ic_z": z}
    if policy.decay_z and z >= policy.decay_z and before - now >= policy.decay_min_drop:
        found.due.append(
            (
                "decay",
                f"mean rank IC {now:.4f} over the last {len(recent)} windows, {before:.4f} over the model's first"
                f" {len(reference)}: {z:.1f} standard errors lower (limit {policy.decay_z:g})",
            )
        )


def _disagreement(policy: TriggerPolicy, state: TriggerState, found: Findings) -> None:
    if len(state.agreements) < policy.agreement_windows:
        return
    mean = float(state.agreements.mean())
    found.measures["agreement"] = mean
    if policy.min_agreement and mean < policy.min_agreement:
        found.due.append(
            (
                "disagreement",
                f"student and teacher agree by {mean:.3f} over the last {len(state.agreements)} windows"
                f" (limit {policy.min_agreement:g})",
            )
        )


def _drift(trigger: str, name: str, value: float | None, limit: float, found: Findings) -> None:
    if value is None:
        return
    found.measures[name] = value
    if limit and value >= limit:
        found.due.append((trigger, f"population stability index {value:.3f} (limit {limit:g})"))


def _staleness(policy: TriggerPolicy, state: TriggerState, found: Findings) -> None:
    age_ns = state.ts_close - state.model_since_ns
    found.measures["model_age_s"] = age_ns / NANOS_PER_SECOND
    if policy.staleness and age_ns >= policy.staleness:
        found.due.append(
            (
                "staleness",
                f"the student has served for {format_duration(age_ns)} (limit {format_duration(policy.staleness)})",
            )
        )


def _schedule(policy: TriggerPolicy, state: TriggerState, found: Findings) -> None:
    if policy.schedule and state.ts_close // policy.schedule > state.scheduled_ns // policy.schedule:
        found.due.append(("schedule", f"due every {format_duration(policy.schedule)}"))
