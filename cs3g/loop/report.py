"""What came of a loop, as values that are equal in every run of the same data, and as a story in lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from cs3g.ab.texts import time_text
from cs3g.loop.follow import LoopRecords
from cs3g.loop.plan import LoopPlan
from cs3g.session import SessionResult
from topics.control import JobRequest, Outcome
from topics.runs import PredictionRun
from topics.types import Role

REPORT_VERSION = 1


def loop_values(plan: LoopPlan, result: SessionResult, records: LoopRecords) -> dict[str, Any]:
    """Return the content of `loop.json`: nothing in it depends on the machine, the workers or the time of day."""
    found, config = result.collected, plan.session.config
    digest = found.digest
    return {
        "report_version": REPORT_VERSION,
        "data_digest": result.report.digest,
        "prediction_digest": digest.value(),
        "config_hash": config.config_hash(),
        "policy": plan.policy.digest(),
        "window_size_ns": config.window_size_ns,
        "ticks": result.report.ticks,
        "windows": found.windows,
        "gaps": len(found.gaps),
        "conflicting_windows": digest.n_conflicts,
        "served": {role: served(found.predictions, role, records) for role in plan.session.roles},
        "decisions": [msgspec.to_builtins(records.decisions[at]) for at in sorted(records.decisions)],
        "jobs": [
            _job(job, records) for job in sorted(records.jobs.values(), key=lambda job: job.to_ts_close)
        ],
        "announcements": [msgspec.to_builtins(record) for _, record in sorted(records.announcements.items())],
    }


def served(predictions: Sequence[PredictionRun], role: Role, records: LoopRecords) -> list[dict[str, Any]]:
    """Return the stretches of windows that one model predicted after another, with what became of them."""
    stretches: list[dict[str, Any]] = []
    for run in predictions:
        if run.role != role:
            continue
        if not stretches or stretches[-1]["model_id"] != run.model_id:
            stretches.append({"model_id": run.model_id, "first_ts_close": int(run.ts_close[0]), "windows": 0})
        last = stretches[-1]
        last["last_ts_close"] = int(run.ts_close[-1])
        last["windows"] += len(run.ts_close)
    for stretch in stretches:
        span = range(stretch["first_ts_close"], stretch["last_ts_close"] + 1)
        outcomes = [o for (of, at), o in sorted(records.outcomes.items()) if of == role and at in span]
        stretch["mean_rank_ic"] = _mean(outcomes, "rank_ic")
        stretch["mean_agreement"] = _mean(outcomes, "agreement")
    return stretches


def story(values: dict[str, Any]) -> list[str]:
    """Return what happened, a line each, in the order of the data."""
    events: list[tuple[int, str]] = []
    for number, stretch in enumerate(values["served"]["student"]):
        said = ", ".join(
            f"{name} {stretch[key]:.4f}"
            for name, key in (("rank IC", "mean_rank_ic"), ("agreement with the teacher", "mean_agreement"))
            if stretch[key] is not None
        )
        what = "serves from" if number == 0 else "is swapped in at"
        events.append(
            (
                stretch["first_ts_close"],
                f"student {stretch['model_id']} {what} {_day(stretch['first_ts_close'], values)}"
                f" for {stretch['windows']} windows: {said or 'no outcome'}",
            )
        )
    for decision in values["decisions"]:
        if decision["action"] != "none":
            at = decision["ts_close"]
            text = f"{_day(at, values)}: {decision['action']} ({decision['trigger']}): {decision['reason']}"
            events.append((at, text))
    for job in values["jobs"]:
        ending = job["ending"] or {"state": "has not ended", "detail": ""}
        events.append(
            (
                job["request"]["to_ts_close"],
                f"job {job['request']['job_id']} {ending['state']}: {ending['detail']}",
            )
        )
    return [text for _, text in sorted(events, key=lambda event: event[0])]


def _job(request: JobRequest, records: LoopRecords) -> dict[str, Any]:
    ending = records.endings.get(request.job_id)
    return {
        "request": msgspec.to_builtins(request),
        # When it ended is the one thing about it that no two runs share.
        "ending": None if ending is None else {**msgspec.to_builtins(ending), "updated_ns": 0},
    }


def _mean(outcomes: Sequence[Outcome], name: str) -> float | None:
    values = [getattr(outcome, name) for outcome in outcomes if getattr(outcome, name) is not None]
    return float(np.mean(values)) if values else None


def _day(ts_ns: int, values: dict[str, Any]) -> str:
    return time_text(ts_ns, values["window_size_ns"])
