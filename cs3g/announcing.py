"""Telling workers which model serves: an activation of the registry as a record on the models topic."""

from __future__ import annotations

from pipeline.config import PipelineConfig
from pipeline.registry import Activation
from topics.connection import admin_client, producer_client
from topics.control import ModelAnnouncement
from topics.groups import partitions_of
from topics.messages import control_message

__all__ = ["announce", "announcement_of"]


def announcement_of(activation: Activation) -> ModelAnnouncement:
    """Return the record that tells of an activation."""
    return ModelAnnouncement(
        universe=activation.universe,
        role=activation.role,
        model_id=activation.model_id,
        sha256=activation.sha256,
        since_ts_close=activation.since_ts_close,
        seq=activation.seq,
        job_id=activation.job_id,
        detail=activation.detail,
    )


async def announce(config: PipelineConfig, activation: Activation) -> None:
    """Send an activation to `config`'s models topic; return once the broker has it.

    Workers heed the highest number of an activation, so announcing one again changes nothing.

    Raises
    ------
    topics.errors.BrokerUnavailable
        Nobody answers.
    topics.errors.BrokerError
        The models topic does not exist.
    """
    topic = config.topics.models
    async with admin_client(config.bootstrap_servers) as admin:
        # The broker would make a missing topic with its defaults.
        await partitions_of(admin, [topic])
    message = control_message(
        announcement_of(activation),
        run_id=config.run_id,
        mode=config.mode,
        key=f"{activation.universe}/{activation.role}".encode(),
    )
    async with producer_client(config.bootstrap_servers) as producer:
        await producer.send_and_wait(topic, message.value, key=message.key, headers=message.headers)
