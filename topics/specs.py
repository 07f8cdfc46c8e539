"""The topics of the contract: names, keys, partitions, retention, and what a message may weigh."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Final, Literal

from topics.envelope import MAX_DEAD_LETTER_BYTES, MAX_MESSAGE_BYTES
from topics.errors import LiveTopicRefused, SchemaError

PartitionRule = Literal["ticks", "single", "jobs"]
"""`ticks`: as many as the deployment shards its instruments into. `single`: one, for a total order. `jobs`: as many
as job workers can share (`JOB_PARTITIONS`)."""

Cleanup = Literal["delete", "compact"]

JOB_PARTITIONS: Final = 8

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
KEEP_FOREVER: Final = -1

MAX_REQUEST_BYTES: Final = MAX_DEAD_LETTER_BYTES + 64 * 1024
"""What producers and consumers must allow for: the largest message and its headers."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic of the contract.

    Attributes
    ----------
    name
        Without a replay's prefix.
    key
        What the Kafka key is, in words.
    schemas
        Names of the schemas that its messages may carry.
    retention_ms
        Of a live topic; a replay's topics keep their messages whatever their event time is.
    """

    name: str
    key: str
    partitions: PartitionRule
    cleanup: Cleanup
    schemas: tuple[str, ...]
    summary: str
    retention_ms: int = KEEP_FOREVER
    max_bytes: int = MAX_MESSAGE_BYTES

    def partition_count(self, tick_partitions: int) -> int:
        """Return how many partitions the topic has in a deployment with so many of ticks."""
        return {"ticks": tick_partitions, "jobs": JOB_PARTITIONS, "single": 1}[self.partitions]


@dataclass(frozen=True, slots=True)
class TopicNames:
    """Every topic's full name under one prefix."""

    instruments: str
    ticks: str
    windows: str
    graphs: str
    predictions: str
    predictions_latest: str
    outcomes: str
    distill_decisions: str
    distill_jobs: str
    distill_status: str
    models: str
    dead_letters: str


TICK_SCHEMAS: Final = (
    "trades", "mbp-1", "tbbo", "bbo-1s", "bbo-1m", "ohlcv-1s", "ohlcv-1m", "ohlcv-1h", "ohlcv-1d",
)  # fmt: skip

SPECS: Final = {
    "instruments": TopicSpec(
        "md.instruments.v1", "instrument_id", "single", "compact", ("instrument",),
        "What each instrument id means: symbol, venue, universe, sector, related instruments, size unit.",
    ),
    "ticks": TopicSpec(
        "md.ticks.v1", "shard of the instrument: instrument_id % partitions", "ticks", "delete",
        (*TICK_SCHEMAS, "end-of-replay"),
        "A run of DBN records of one schema, or one tick as JSON.", 7 * _DAY_MS,
    ),
    "windows": TopicSpec(
        "features.windows.v1", "universe", "single", "delete", ("windows",),
        "A run of one tick partition's closed windows; an empty run moves the frontier.", 7 * _DAY_MS,
    ),
    "graphs": TopicSpec(
        "features.graphs.v1", "universe", "single", "delete", ("graphs",),
        "A run of graph snapshots: node features, mask, closes and edges at each ts_close.", 30 * _DAY_MS,
    ),
    "predictions": TopicSpec(
        "predictions.v1", "universe", "single", "delete", ("predictions",),
        "A run of one model's scores and ranks by window and instrument.", 90 * _DAY_MS,
    ),
    "predictions_latest": TopicSpec(
        "predictions.latest.v1", "universe/role/instrument_id", "single", "compact", ("latest-prediction",),
        "Each instrument's last prediction, for strategies that restart.",
    ),
    "outcomes": TopicSpec(
        "outcomes.v1", "universe", "single", "delete", ("outcome",),
        "What became of a window's predictions: IC, rank IC, agreement, by role.", 365 * _DAY_MS,
    ),
    "distill_decisions": TopicSpec(
        "distill.decisions.v1", "universe", "single", "delete", ("trigger-decision",),
        "What the trigger policy decided, and why.", 365 * _DAY_MS, 64 * 1024,
    ),
    "distill_jobs": TopicSpec(
        "distill.jobs.v1", "job_id", "jobs", "delete", ("job-request", "job-cancel"),
        "Requests for training, of allow-listed ids only, and for their end.", 30 * _DAY_MS, 64 * 1024,
    ),
    "distill_status": TopicSpec(
        "distill.status.v1", "job_id", "single", "delete", ("job-status",),
        "Progress and results of training jobs.", 30 * _DAY_MS, 256 * 1024,
    ),
    "models": TopicSpec(
        "models.v1", "universe/role", "single", "compact", ("model",),
        "The active artifact of each universe and role, and since which window.",
    ),
    "dead_letters": TopicSpec(
        "dead-letters.v1", "source topic", "single", "delete", ("dead-letter",),
        "What no stage could use: original bytes, cause, source offset.", 30 * _DAY_MS,
        MAX_DEAD_LETTER_BYTES,
    ),
}  # fmt: skip
"""The contract's topics by the attribute of `TopicNames` that holds their name."""

_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PREFIX: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*\.)*")
_REPLAY: Final = re.compile(r"replay\.[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.")


def topic_names(prefix: str = "") -> TopicNames:
    """Return every topic's full name.

    Parameters
    ----------
    prefix
        "" for the live topics, `replay_prefix(run_id)` for a replay's, or a deployment's own; ends in a dot.

    Raises
    ------
    SchemaError
        The prefix is not dot-terminated words.

    Examples
    --------
    >>> topic_names(replay_prefix("a1")).ticks
    'replay.a1.md.ticks.v1'
    """
    if not _PREFIX.fullmatch(prefix):
        raise SchemaError(f"`prefix` (={prefix!r}) must be words of A-Z a-z 0-9 _ - that each end in a dot")
    return TopicNames(**{field.name: prefix + SPECS[field.name].name for field in fields(TopicNames)})


def replay_prefix(run_id: str) -> str:
    """Return the prefix of a replay's topics.

    Raises
    ------
    SchemaError
        The run id would not make a topic name.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise SchemaError(
            f"`run_id` (={run_id!r}) must be 1 to 64 of A-Z a-z 0-9 _ - and start with a letter or digit"
        )
    return f"replay.{run_id}."


def is_replay_name(name: str) -> bool:
    """Return whether a topic or prefix belongs to a replay."""
    return _REPLAY.match(name) is not None


def require_replay_prefix(name: str) -> None:
    """Refuse a topic or prefix that a live strategy may read.

    Raises
    ------
    LiveTopicRefused
        The name does not start with `replay.<run_id>.`.
    """
    if not is_replay_name(name):
        raise LiveTopicRefused(
            f"a replay may not write to {name or 'the live topics'!r}: its topics start with"
            " 'replay.<run_id>.'; choose a run id, or say twice that the live topics are meant"
        )
