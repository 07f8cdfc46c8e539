"""When a new student is asked for, and what for: frozen, from `CS3G_TRIGGER_` and a field's name, or a TOML file."""

from __future__ import annotations

import hashlib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.durations import parse_duration
from pipeline.errors import ConfigError
from pipeline.setting_errors import setting_error
from topics.retraining import JobKind, Promotion

TRIGGER_PREFIX: Final = "CS3G_TRIGGER_"
POLICY_FILE_VARIABLE: Final = "CS3G_TRIGGER_FILE"

SpanNs = Annotated[int, BeforeValidator(parse_duration), Field(ge=0, lt=2**62)]
"""ns of event time; text such as "12h" or "30d" is taken too."""

_Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class TriggerPolicy(BaseSettings):
    """Thresholds, limits, and the job that is asked for; make it with `load_trigger_policy`.

    Every time is event time. A threshold of 0 turns its trigger off.

    Attributes
    ----------
    decay_z
        Standard errors by which the mean rank IC must have fallen below that of the model's own first windows.
    decay_min_drop
        Rank IC by which it must have fallen besides, so that a long history does not make trifles count.
    decay_reference_windows, decay_recent_windows
        First windows of a model, and last ones, that the two means are of.
    min_agreement, agreement_windows
        Mean rank correlation of student and teacher over so many windows, below which the student must learn anew.
    max_psi_features, max_psi_scores
        Population stability index from which the stream, or the student's scores, count as moved.
    staleness
        Age of the student: time since its first window.
    schedule
        A job is due with each multiple of it, counted from the epoch.
    cooldown
        Shortest time between two jobs.
    max_jobs, budget_period
        Jobs within any such time; 0 jobs forbids all.
    activation_lag_windows
        The job's model serves windows that end more than so many window lengths after the decision is made, which is
        when the label of the decision's window is known. Until then no other job is asked for.
    train_span
        The job learns from windows that end within such a time before the decision is made; 0 for all before it.
    record_every_windows
        A decision that changes nothing is recorded once in so many windows.
    kind, dataset_id, recipe_id, teacher_id, student_id, seed, promotion
        Of the job, as in `topics.control.JobRequest`; without a teacher, the one that predicts. The student is where
        the fit starts: without one it starts anew, since the one that serves is what something is wrong with.
    """

    model_config = SettingsConfigDict(env_prefix=TRIGGER_PREFIX, frozen=True, extra="forbid")

    decay_z: Annotated[float, Field(ge=0, le=100)] = 4.0
    decay_min_drop: Annotated[float, Field(ge=0, le=2)] = 0.01
    decay_reference_windows: Annotated[int, Field(ge=2, le=65536)] = 128
    decay_recent_windows: Annotated[int, Field(ge=2, le=65536)] = 64
    min_agreement: Annotated[float, Field(ge=0, le=1)] = 0.8
    agreement_windows: Annotated[int, Field(ge=1, le=65536)] = 32
    max_psi_features: Annotated[float, Field(ge=0)] = 0.25
    max_psi_scores: Annotated[float, Field(ge=0)] = 0.0
    staleness: SpanNs = 0
    schedule: SpanNs = 0
    cooldown: SpanNs = parse_duration("1d")
    max_jobs: Annotated[int, Field(ge=0, le=1000)] = 3
    budget_period: SpanNs = parse_duration("30d")
    activation_lag_windows: Annotated[int, Field(ge=0, le=2**20)] = 1
    train_span: SpanNs = 0
    record_every_windows: Annotated[int, Field(ge=1)] = 64
    kind: JobKind = "distill"
    dataset_id: _Identifier = "live-graphs"
    recipe_id: _Identifier | None = None
    teacher_id: _Identifier | None = None
    student_id: _Identifier | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    promotion: Promotion = "auto"

    @model_validator(mode="after")
    def _check_together(self) -> TriggerPolicy:
        if self.max_jobs and not self.budget_period:
            raise ValueError("`budget_period` must be > 0, or `max_jobs` 0 to forbid jobs")
        return self

    def digest(self) -> str:
        """Return 16 hexadecimal digits of every setting."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


def load_trigger_policy(path: Path | None = None, **settings: Any) -> TriggerPolicy:
    """Read a policy: arguments before the environment before a TOML file before the defaults.

    Parameters
    ----------
    path
        File whose keys are fields of `TriggerPolicy`; None for the one that `CS3G_TRIGGER_FILE` names, if it does.
    **settings
        Fields; those that are None are left to the rest.

    Raises
    ------
    ConfigError
        The file cannot be read, or a setting breaks its rule or is none.
    """
    values: dict[str, Any] = {}
    if path is None and os.environ.get(POLICY_FILE_VARIABLE):
        path = Path(os.environ[POLICY_FILE_VARIABLE])
    if path is not None:
        try:
            values = tomllib.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"the trigger policy {str(path)!r} cannot be read: {error}") from error
        values = {
            name: value for name, value in values.items() if TRIGGER_PREFIX + name.upper() not in os.environ
        }
    values |= {name: value for name, value in settings.items() if value is not None}
    try:
        return TriggerPolicy(**values)
    except ValidationError as error:
        raise setting_error(error, TriggerPolicy) from error
