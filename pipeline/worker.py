"""Running a worker's Faust application in this process until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from typing import Final

import faust

from cs3g_model.protocol import StreamingModel
from pipeline.app import build_app, build_outcomes_app
from pipeline.config import PipelineConfig
from pipeline.errors import WorkerCrashedError
from pipeline.outcomes_config import OutcomesConfig
from pipeline.trigger_config import TriggerPolicy
from pipeline.warmup import warm_up, warm_up_outcomes
from topics.admin import list_topics
from topics.errors import TopicMismatch
from topics.types import Role

GARBAGE_OBJECTS: Final = 50_000
"""So many objects more than before are worth a look for cycles among them; by default 700."""


def run_worker(
    config: PipelineConfig,
    *,
    role: Role,
    worker_id: str,
    model: StreamingModel,
    replication_factor: int = 1,
    log_level: str = "WARNING",
) -> None:
    """Run a worker until SIGTERM or SIGINT; parameters as in `pipeline.app.build_app`.

    Raises
    ------
    topics.errors.BrokerUnavailable
        Nobody answers at the configured address.
    TopicMismatch
        The tick topic is missing or has other partitions than configured.
    WorkerCrashedError
        A stage raised; what it had not acknowledged is delivered again to the next worker.
    """
    asyncio.run(_check_tick_topic(config))
    _log_to_stderr(log_level)
    warm_up(config, model)
    app = build_app(
        config, role=role, worker_id=worker_id, model=model, replication_factor=replication_factor
    )
    _execute(app, worker_id, log_level)


def run_outcomes_worker(
    config: PipelineConfig,
    outcomes: OutcomesConfig,
    policy: TriggerPolicy,
    *,
    worker_id: str,
    replication_factor: int = 1,
    log_level: str = "WARNING",
) -> None:
    """Run an outcomes worker until SIGTERM or SIGINT; parameters as in `pipeline.app.build_outcomes_app`.

    Raises
    ------
    topics.errors.BrokerUnavailable
        Nobody answers at the configured address.
    TopicMismatch
        A topic that it reads or writes is missing.
    WorkerCrashedError
        It raised; what it had not acknowledged is delivered again to the next worker.
    """
    asyncio.run(_check_outcome_topics(config))
    _log_to_stderr(log_level)
    warm_up_outcomes()
    app = build_outcomes_app(
        config, outcomes, policy, worker_id=worker_id, replication_factor=replication_factor
    )
    _execute(app, worker_id, log_level)


def _log_to_stderr(log_level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr, level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


def _execute(app: faust.App, worker_id: str, log_level: str) -> None:
    _rest_collector()
    worker = faust.Worker(app, loglevel=log_level, override_logging=False, quiet=True, redirect_stdouts=False)
    try:
        worker.execute_from_commandline()
    except SystemExit as stop:
        if stop.code:
            raise WorkerCrashedError(
                f"worker {worker_id!r} ended with status {stop.code}: see the error that it logged"
            ) from stop


def _rest_collector() -> None:
    """Leave what is loaded by now out of garbage collections, and let them come seldom.

    With the defaults they take a sixth of a busy worker's time, and one of everything stops it for a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 10, 10)


async def _check_outcome_topics(config: PipelineConfig) -> None:
    """Refuse to start on topics that are not there: the broker would make them with its defaults."""
    topics = config.topics
    found = {topic.name for topic in await list_topics(config.bootstrap_servers)}
    for name in (
        topics.graphs,
        topics.predictions,
        topics.outcomes,
        topics.distill_decisions,
        topics.distill_jobs,
    ):
        if name not in found:
            raise TopicMismatch(
                f"topic {name!r} does not exist at {config.bootstrap_servers!r}: run `cs3g topics create` first"
            )


async def _check_tick_topic(config: PipelineConfig) -> None:
    """Refuse to start on topics that are not there: the broker would make them with its defaults."""
    name = config.topics.ticks
    found = {topic.name: topic.partitions for topic in await list_topics(config.bootstrap_servers)}
    if name not in found:
        raise TopicMismatch(
            f"topic {name!r} does not exist at {config.bootstrap_servers!r}: run `cs3g topics create` first"
        )
    if found[name] != config.tick_partitions:
        raise TopicMismatch(
            f"topic {name!r} has {found[name]} partitions, `tick_partitions` is {config.tick_partitions}:"
            " set CS3G_TICK_PARTITIONS to what the topic has"
        )
