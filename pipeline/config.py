"""The pipeline's settings, frozen; read from the environment (`CS3G_` and a field's name)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cs3g_model.features import FEATURE_SCHEMA_VERSION
from pipeline.durations import parse_duration
from pipeline.graph_config import GraphConfig
from pipeline.registry.location import default_registry_url
from pipeline.setting_errors import setting_error
from pipeline.windows import MAX_SIZE_NS
from topics.specs import TopicNames, is_replay_name, topic_names
from topics.types import Mode

ENVIRONMENT_PREFIX: Final = "CS3G_"

LIVE_IDLE_TIMEOUT_NS: Final = 5_000_000_000
"""How long a live tick partition may be silent, unless it is told otherwise."""

DurationNs = Annotated[int, BeforeValidator(parse_duration), Field(ge=0, le=MAX_SIZE_NS)]
"""ns; text such as "250ms" is taken too."""

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]

_RESULT_SETTINGS: Final = (
    "universe",
    "window_size_ns",
    "allowed_lateness_ns",
    "tick_partitions",
    "neighbors",
    "correlation_windows",
    "correlation_stride",
    "lead_neighbors",
    "lead_windows",
    "lead_stride",
    "warm_windows",
)


class PipelineConfig(BaseSettings):
    """Everything that a worker is told; make it with `load_config` for errors of one line.

    Attributes
    ----------
    bootstrap_servers
        Addresses of the Kafka brokers, host:port, comma-separated.
    topic_prefix
        "" for the live topics; a replay's starts with `replay.<run_id>.`.
    universe
        Name of the set of instruments that are ranked together; the Kafka key after the ticks.
    run_id
        The replay, or the live session.
    mode
        Whether messages belong to the live market or to a replay.
    window_size_ns
        Length of the tumbling windows (> 0), aligned to the epoch.
    allowed_lateness_ns
        How far a partition's watermark trails its largest ts_event.
    idle_timeout_ns
        Live only: after so long without a message a partition's watermark follows the wall clock, so that a
        silent partition does not hold all windows back; None for 5 s, 0 for never. It makes results depend on
        the wall clock, so prefer heartbeat records; a feed that is delayed needs more than its delay.
    tick_partitions
        Partitions of the tick topic; an instrument's is its id modulo this.
    neighbors
        K, correlated instruments kept for each.
    correlation_windows
        Snapshots that the rolling correlation looks back on.
    correlation_stride
        Snapshots between two refreshes of the correlation.
    lead_neighbors
        Instruments kept for each whose return of the snapshot before tells its own.
    lead_windows
        Pairs of consecutive snapshots that the lead looks back on.
    lead_stride
        Snapshots between two refreshes of an instrument's leaders; instruments take turns by id.
    max_run_bytes
        Size at which a run of snapshots or predictions is cut into several messages.
    student_model_id, teacher_model_id
        Artifacts to score with; None for the shipped student, and for no teacher.
    models_dir
        Folder of artifacts besides the shipped ones.
    registry
        Folder or url (`s3://bucket/prefix`) of the registry; None for `cs3g/registry` among the user's data.
    warm_windows
        Snapshots that a new model folds before it takes over from another.
    any_role
        A model may serve in either role, whatever its own is: for comparisons of two students or two teachers.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    bootstrap_servers: Annotated[str, Field(pattern=r"^[^\s,:]+:\d{1,5}(,[^\s,:]+:\d{1,5})*$")] = (
        "127.0.0.1:9092"
    )
    topic_prefix: str = ""
    universe: Identifier = "default"
    run_id: str = ""
    mode: Mode = "live"
    window_size_ns: DurationNs = 1_000_000_000
    allowed_lateness_ns: DurationNs = 0
    idle_timeout_ns: DurationNs | None = None
    tick_partitions: Annotated[int, Field(ge=1, le=1024)] = 4
    neighbors: Annotated[int, Field(ge=0, le=64)] = 8
    correlation_windows: Annotated[int, Field(ge=2, le=4096)] = 32
    correlation_stride: Annotated[int, Field(ge=1, le=65536)] = 8
    lead_neighbors: Annotated[int, Field(ge=0, le=64)] = 8
    lead_windows: Annotated[int, Field(ge=2, le=4096)] = 128
    lead_stride: Annotated[int, Field(ge=1, le=65536)] = 8
    max_run_bytes: Annotated[int, Field(ge=1024, le=8 * 1024 * 1024)] = 512 * 1024
    student_model_id: Identifier | None = None
    teacher_model_id: Identifier | None = None
    models_dir: Path | None = None
    registry: Annotated[str, Field(min_length=1)] | None = None
    warm_windows: Annotated[int, Field(ge=0, le=65536)] = 128
    any_role: bool = False

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.window_size_ns == 0:
            raise ValueError("`window_size_ns` (=0) must be > 0")
        if (self.mode == "replay") != is_replay_name(self.topic_prefix):
            raise ValueError(
                f"`topic_prefix` (={self.topic_prefix!r}) must start with 'replay.<run_id>.' in mode 'replay'"
                f" and must not in mode 'live'; `mode` is {self.mode!r}"
            )
        if self.mode == "replay" and self.idle_timeout_ns:
            raise ValueError(
                "`idle_timeout_ns` must be 0 in mode 'replay': its results depend on the wall clock"
            )
        return self

    @property
    def idle_after_ns(self) -> int:
        """The idle time-out in force; 0 for none, as always in a replay."""
        if self.mode == "replay":
            return 0
        return LIVE_IDLE_TIMEOUT_NS if self.idle_timeout_ns is None else self.idle_timeout_ns

    @property
    def topics(self) -> TopicNames:
        """Full names of the topics."""
        return topic_names(self.topic_prefix)

    @property
    def registry_url(self) -> str:
        """The registry in force."""
        return self.registry or default_registry_url()

    @property
    def graph(self) -> GraphConfig:
        """What the graph stage needs to know."""
        return GraphConfig(
            universe=self.universe,
            size_ns=self.window_size_ns,
            neighbors=self.neighbors,
            correlation_windows=self.correlation_windows,
            correlation_stride=self.correlation_stride,
            lead_neighbors=self.lead_neighbors,
            lead_windows=self.lead_windows,
            lead_stride=self.lead_stride,
        )

    def config_hash(self) -> str:
        """Return 16 hexadecimal digits of everything that can change a result, and of nothing else.

        Addresses, credentials, the run and the size of messages cannot.
        """
        settings: dict[str, Any] = {name: getattr(self, name) for name in _RESULT_SETTINGS}
        settings["feature_schema_version"] = FEATURE_SCHEMA_VERSION
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def load_config(**settings: Any) -> PipelineConfig:
    """Read the environment, let arguments override it, and validate.

    Parameters
    ----------
    **settings
        Fields of `PipelineConfig`; those that are None are left to the environment and the defaults.

    Raises
    ------
    ConfigError
        A setting breaks its rule, or is none.
    """
    try:
        return PipelineConfig(**{name: value for name, value in settings.items() if value is not None})
    except ValidationError as error:
        raise setting_error(error, PipelineConfig) from error
