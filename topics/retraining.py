"""Control records of the retraining loop: outcomes, trigger decisions, jobs, and the models that serve."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from topics.control_fields import Control, Count, Identifier, Name, Nanos, Sha256
from topics.types import Role

JobKind = Literal["distill", "compress"]
Promotion = Literal["auto", "manual"]
TriggerAction = Literal["none", "job", "suppressed"]
JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class JobRequest(Control, frozen=True, kw_only=True):
    """A request for training; it carries ids of allow-listed things only, never paths or commands.

    Attributes
    ----------
    from_ts_close, to_ts_close
        Windows to learn from, those that end in (from_ts_close, to_ts_close], ns; 0 for an open end.
    since_ts_close
        The model made serves windows that end after it, ns; 0 for as soon as it is promoted.
    promotion
        `auto`: once it is shown to be no worse than the incumbent. `manual`: a person activates it.
    """

    SCHEMA: ClassVar[str] = "job-request"

    job_id: Identifier
    kind: JobKind
    universe: Name
    teacher_id: Identifier | None = None
    student_id: Identifier | None = None
    dataset_id: Identifier | None = None
    recipe_id: Identifier | None = None
    seed: Count = 0
    from_ts_close: Nanos = 0
    to_ts_close: Nanos = 0
    since_ts_close: Nanos = 0
    promotion: Promotion = "auto"
    reason: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    requested_ns: Nanos = 0


class JobCancel(Control, frozen=True, kw_only=True):
    """A wish that a job end; one that has ended stays as it is."""

    SCHEMA: ClassVar[str] = "job-cancel"

    job_id: Identifier
    reason: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class JobStatus(Control, frozen=True, kw_only=True):
    """Progress and result of a job.

    Attributes
    ----------
    progress
        Fraction done, 0 to 1.
    model_id
        The artifact made, once succeeded.
    """

    SCHEMA: ClassVar[str] = "job-status"

    job_id: Identifier
    state: JobState
    progress: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    detail: Annotated[str, msgspec.Meta(max_length=4000)] = ""
    model_id: Identifier | None = None
    metrics: dict[str, float] = msgspec.field(default_factory=dict)
    updated_ns: Nanos = 0


class ModelAnnouncement(Control, frozen=True, kw_only=True):
    """The active artifact of a universe and role, from the first window that ends after `since_ts_close`.

    Attributes
    ----------
    seq
        Number of the activation among those of its universe and role, from 1; 0 where nobody counts.
    job_id
        The job that made the model, if one did.
    """

    SCHEMA: ClassVar[str] = "model"

    universe: Name
    role: Role
    model_id: Identifier
    sha256: Sha256
    since_ts_close: Nanos = 0
    seq: Count = 0
    job_id: Identifier | None = None
    detail: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class Outcome(Control, frozen=True, kw_only=True):
    """What became of one window's predictions, once the label's horizon has passed.

    Attributes
    ----------
    n_instruments
        Instruments with both a prediction and a realized return.
    ic, rank_ic
        Pearson and Spearman correlation of scores and realized returns, None where undefined.
    agreement
        Rank correlation of student and teacher scores, None where only one predicted.
    psi_features, psi_scores
        Population stability index against the stream's own reference period, of the feature that moved most and
        of the scores; None before there is a reference.
    """

    SCHEMA: ClassVar[str] = "outcome"

    universe: Name
    role: Role
    model_id: Identifier
    ts_close: Nanos
    horizon_ns: Annotated[int, msgspec.Meta(gt=0)]
    n_instruments: Count
    ic: float | None = None
    rank_ic: float | None = None
    agreement: float | None = None
    psi_features: float | None = None
    psi_scores: float | None = None


class TriggerDecision(Control, frozen=True, kw_only=True):
    """What the trigger policy decided at a window, and why.

    Attributes
    ----------
    action
        `job`: a job was requested. `suppressed`: one was due, but cool-down or budget forbade it. `none`: no
        trigger fired.
    trigger
        Name of the one that fired, "" for none.
    measures
        What the triggers looked at.
    """

    SCHEMA: ClassVar[str] = "trigger-decision"

    universe: Name
    ts_close: Nanos
    action: TriggerAction
    trigger: Annotated[str, msgspec.Meta(max_length=64)] = ""
    reason: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    job_id: Identifier | None = None
    measures: dict[str, float] = msgspec.field(default_factory=dict)
