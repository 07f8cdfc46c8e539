"""The trigger policy: outcomes in, decisions and job requests out, a left fold over windows. Pure.

It never reads a clock: cool-down, budget, staleness and schedule go by the windows' ends. A job's id is a hash of
what was decided, so a decision that is made again after a crash asks for the same job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pipeline.durations import format_duration
from pipeline.outcomes import SettledWindow
from pipeline.trigger_checks import Findings, check
from pipeline.trigger_config import TriggerPolicy
from pipeline.trigger_state import TriggerState
from topics.control import JobRequest, Outcome, TriggerDecision
from topics.retraining import TriggerAction

MANUAL: Final = "manual"
"""Trigger of a job that a person asked for; it counts against neither cool-down nor budget."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision to record, and the job it asks for, if it does."""

    decision: TriggerDecision
    job: JobRequest | None = None


def decide(
    policy: TriggerPolicy, state: TriggerState, windows: Sequence[SettledWindow], *, size_ns: int
) -> tuple[list[Decided], TriggerState]:
    """Look at settled windows and decide. Pure.

    Recorded is every job, every change of what is decided (the first "none", the first "suppressed" of a stretch
    and who caused it), and otherwise one decision in `record_every_windows`.

    Parameters
    ----------
    windows
        Of one universe, ascending; those up to `state.ts_close` are dropped, and those that the student did not
        predict pass unseen.
    size_ns
        Length of a window, ns.

    Returns
    -------
    What to publish, in order, and the state after it.
    """
    decided: list[Decided] = []
    for window in windows:
        by_role = {outcome.role: outcome for outcome in window.outcomes}
        student = by_role.get("student")
        if student is None or window.ts_close <= state.ts_close:
            continue
        state = _with_outcome(policy, state, student)
        found = check(policy, state, student)
        job, action, reason = None, _action(found), _reason(found)
        if found.due:
            forbidden = _forbidden(policy, state)
            if forbidden:
                action, reason = "suppressed", f"{forbidden}; {reason}"
            else:
                job = _job(policy, window, student, by_role.get("teacher"), found, size_ns)
                state = replace(
                    state,
                    scheduled_ns=window.ts_close,
                    effective_ns=job.since_ts_close,
                    job_times_ns=np.append(state.job_times_ns, np.int64(window.ts_close)),
                )
        trigger = found.due[0][0] if found.due else ""
        summary = f"{action}/{trigger}"
        if job is None and summary == state.recorded and state.n_unrecorded + 1 < policy.record_every_windows:
            state = replace(state, n_unrecorded=state.n_unrecorded + 1)
            continue
        state = replace(state, recorded=summary, n_unrecorded=0)
        decision = TriggerDecision(
            universe=student.universe,
            ts_close=window.ts_close,
            action=action,
            trigger=trigger,
            reason=reason[:1000],
            job_id=None if job is None else job.job_id,
            measures=found.measures,
        )
        decided.append(Decided(decision, job))
    return decided, state


def manual_decision(job: JobRequest) -> TriggerDecision:
    """Return the record of a job that a person asked for, to be published beside it."""
    return TriggerDecision(
        universe=job.universe,
        ts_close=job.to_ts_close,
        action="job",
        trigger=MANUAL,
        reason=job.reason or "asked for on the command line",
        job_id=job.job_id,
    )


def _with_outcome(policy: TriggerPolicy, state: TriggerState, student: Outcome) -> TriggerState:
    ts_close = student.ts_close
    if not state.ts_close:
        state = replace(state, scheduled_ns=ts_close)
    if student.model_id != state.model_id:
        # Another model: its history begins here.
        none = np.empty(0)
        state = replace(
            state,
            model_id=student.model_id,
            model_since_ns=ts_close,
            reference=none,
            recent=none,
            agreements=none,
        )
    if student.rank_ic is not None:
        if len(state.reference) < policy.decay_reference_windows:
            state = replace(state, reference=np.append(state.reference, student.rank_ic))
        else:
            recent = np.append(state.recent, student.rank_ic)
            state = replace(state, recent=recent[-policy.decay_recent_windows :])
    if student.agreement is not None:
        agreements = np.append(state.agreements, student.agreement)
        state = replace(state, agreements=agreements[-policy.agreement_windows :])
    within = state.job_times_ns > ts_close - policy.budget_period
    # The last one is kept for the cool-down, which may be longer than the period.
    within[-1:] = True
    return replace(state, ts_close=ts_close, job_times_ns=state.job_times_ns[within])


def _action(found: Findings) -> TriggerAction:
    return "job" if found.due else "none"


def _reason(found: Findings) -> str:
    return "; ".join(f"{trigger}: {reason}" for trigger, reason in found.due) or "no trigger fired"


def _forbidden(policy: TriggerPolicy, state: TriggerState) -> str:
    """Return why no job may be asked for now, "" if one may."""
    times, now = state.job_times_ns, state.ts_close
    if int((times > now - policy.budget_period).sum()) >= policy.max_jobs:
        return f"budget of {policy.max_jobs} jobs in {format_duration(policy.budget_period)} is spent"
    if len(times) and now - int(times[-1]) < policy.cooldown:
        return f"cool-down of {format_duration(policy.cooldown)} since {int(times[-1])}"
    if now <= state.effective_ns:
        return f"the last job takes effect after {state.effective_ns}"
    return ""


def _job(
    policy: TriggerPolicy,
    window: SettledWindow,
    student: Outcome,
    teacher: Outcome | None,
    found: Findings,
    size_ns: int,
) -> JobRequest:
    trigger = found.due[0][0]
    identity = json.dumps([student.universe, window.ts_close, trigger, policy.digest()]).encode()
    teacher_id = policy.teacher_id
    if teacher_id is None and teacher is not None:
        teacher_id = teacher.model_id
    # All that is known when the decision is made: the label of its window came with the one that matured it.
    known_ns = window.matured_ns
    return JobRequest(
        job_id=f"auto-{hashlib.sha256(identity).hexdigest()[:16]}",
        kind=policy.kind,
        universe=student.universe,
        teacher_id=teacher_id,
        student_id=policy.student_id,
        dataset_id=policy.dataset_id,
        recipe_id=policy.recipe_id,
        seed=policy.seed,
        from_ts_close=max(0, known_ns - policy.train_span) if policy.train_span else 0,
        to_ts_close=known_ns,
        since_ts_close=known_ns + policy.activation_lag_windows * size_ns,
        promotion=policy.promotion,
        reason=_reason(found)[:1000],
        requested_ns=known_ns,
    )
