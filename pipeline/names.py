"""Names under which a worker is known to the broker."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pipeline.config import PipelineConfig
from topics.types import Role

WorkerRole: TypeAlias = Role | Literal["outcomes"]
"""What a worker does: score as a role, or tell what became of the scores."""


def consumer_group(config: PipelineConfig, role: WorkerRole) -> str:
    """Return the consumer group that workers of a role share; a replay's is its own."""
    return f"{config.topic_prefix}cs3g.{config.universe}.{role}"


def member_id(config: PipelineConfig, role: WorkerRole, worker_id: str) -> str:
    """Return a worker's static membership: restarted under the same id, it has its partitions at once."""
    return f"{consumer_group(config, role)}.{worker_id}"
