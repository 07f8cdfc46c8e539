"""Composition of a worker: Faust application, agents, topics and checkpoints around the pure core."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import faust
from faust.types import TP, StreamT

from cs3g_model.protocol import StreamingModel
from pipeline.agents.changelog import TopicChangelog
from pipeline.agents.checkpoints import Checkpoints
from pipeline.agents.delivery import BrokerOffsets
from pipeline.agents.directory import Directory
from pipeline.agents.graphs import GraphsStage
from pipeline.agents.models import Models
from pipeline.agents.outcomes import OutcomesHub, OutcomesStage
from pipeline.agents.publishing import TopicSink
from pipeline.agents.scoring import ScoringStage
from pipeline.agents.serving_model import ServingModel
from pipeline.agents.stage import Stage
from pipeline.agents.transport import install_transport
from pipeline.agents.windowing import WindowsStage
from pipeline.config import PipelineConfig
from pipeline.names import WorkerRole, consumer_group, member_id
from pipeline.outcomes_config import OutcomesConfig
from pipeline.trigger_config import TriggerPolicy
from topics.envelope import MAX_MESSAGE_BYTES
from topics.security import broker_security
from topics.types import Role

IDLE_CHECK_S: Final = 0.25
CHECKPOINT_CHECK_S: Final = 0.5
ROUSE_S: Final = 5.0
"""A partition from which nothing comes for twice as long is read again, if the broker holds something."""

LATEST_INTERVAL_S: Final = 5.0
MODELS_INTERVAL_S: Final = 1.0
REQUEST_OVERHEAD_BYTES: Final = 64 * 1024
MAX_BATCH_BYTES: Final = 1024 * 1024
"""Messages that wait for the one before them go together; nothing waits for company."""


def build_app(
    config: PipelineConfig, *, role: Role, worker_id: str, model: StreamingModel, replication_factor: int = 1
) -> faust.App:
    """Return the application of one worker, ready to run.

    Workers of role student make windows, graphs and scores; those of role teacher score the same snapshots in
    a group of their own. Several workers of a role share its partitions.

    Parameters
    ----------
    worker_id
        Stable name of this worker among those of its role.
    model
        What scores until another model is announced; its role must be `role`.
    replication_factor
        Of the checkpoints' changelog topics.
    """
    app = faust.App(consumer_group(config, role), **_settings(config, role, worker_id, replication_factor))
    install_transport(app, is_live=config.mode == "live")
    topics = config.topics

    def offsets_of(source: str) -> BrokerOffsets:
        return BrokerOffsets(config, consumer_group(config, role), source)

    # For strategies that restart; nobody may trade on a replay or on the shadow.
    publishes_latest = role == "student" and config.mode == "live"
    models = Models(config, role)
    dead_letters = TopicSink(app, topics.dead_letters)
    serving = ServingModel(config, model, models, dead_letters)
    scoring = ScoringStage(
        app,
        config,
        offsets_of(topics.graphs),
        serving=serving,
        checkpoints=_checkpoints(app, config, "scoring"),
        predictions_topic=TopicSink(app, topics.predictions),
        latest_topic=TopicSink(app, topics.predictions_latest) if publishes_latest else None,
        dead_letters_topic=dead_letters,
    )
    stages: list[Stage] = [scoring]
    if role == "student":
        # A replay has no use for latency, and goes the same way whoever works on it.
        is_live = config.mode == "live"
        builder = GraphsStage(
            app,
            config,
            offsets_of(topics.windows),
            checkpoints=_checkpoints(app, config, "graphs"),
            directory=Directory(config),
            graphs_topic=TopicSink(app, topics.graphs),
            dead_letters_topic=dead_letters,
            successor=scoring if is_live else None,
        )
        windows = WindowsStage(
            app,
            config,
            offsets_of(topics.ticks),
            windows_topic=TopicSink(app, topics.windows),
            dead_letters_topic=dead_letters,
            successor=builder if is_live else None,
        )
        _agent(app, windows, topics.ticks, "windows")
        _agent(app, builder, topics.windows, "graphs")
        _watch_ticks(app, windows, topics.ticks)
        # Whoever hands over is reset first.
        stages = [windows, builder, scoring]
    _agent(app, scoring, topics.graphs, "scoring")
    if publishes_latest:
        app.timer(LATEST_INTERVAL_S)(scoring.publish_latest)
    if config.mode == "live":
        app.timer(MODELS_INTERVAL_S)(serving.watch)

    async def forget(*args: Any, **kwargs: Any) -> None:
        for stage in stages:
            await stage.reset()

    async def tick() -> None:
        for stage in stages:
            await stage.tick()

    async def disconnect(*args: Any, **kwargs: Any) -> None:
        await models.close()

    app.on_partitions_revoked.connect(forget, weak=False)
    app.on_before_shutdown.connect(disconnect, weak=False)
    app.timer(CHECKPOINT_CHECK_S)(tick)
    _rouse(app, stages)
    return app


def build_outcomes_app(
    config: PipelineConfig,
    outcomes: OutcomesConfig,
    policy: TriggerPolicy,
    *,
    worker_id: str,
    replication_factor: int = 1,
) -> faust.App:
    """Return the application of one outcomes worker, ready to run; one works, others stand by.

    Parameters
    ----------
    outcomes, policy
        What becomes an outcome, and when a new student is asked for.
    worker_id, replication_factor
        As in `build_app`.
    """
    group = consumer_group(config, "outcomes")
    app = faust.App(group, **_settings(config, "outcomes", worker_id, replication_factor))
    install_transport(app, is_live=config.mode == "live")
    topics = config.topics
    hub = OutcomesHub(
        config,
        outcomes,
        policy,
        checkpoints=_checkpoints(app, config, "outcomes"),
        outcomes_topic=TopicSink(app, topics.outcomes),
        decisions_topic=TopicSink(app, topics.distill_decisions),
        jobs_topic=TopicSink(app, topics.distill_jobs),
        dead_letters_topic=TopicSink(app, topics.dead_letters),
    )
    # Topics of one partition each, which Faust assigns to the same worker.
    graphs = OutcomesStage(app, BrokerOffsets(config, group, topics.graphs), hub, "graphs")
    predictions = OutcomesStage(app, BrokerOffsets(config, group, topics.predictions), hub, "predictions")
    _agent(app, graphs, topics.graphs, "graphs")
    _agent(app, predictions, topics.predictions, "predictions")

    async def forget(*args: Any, **kwargs: Any) -> None:
        for stage in (graphs, predictions):
            await stage.reset()

    app.on_partitions_revoked.connect(forget, weak=False)
    _rouse(app, (graphs, predictions))
    return app


def _rouse(app: faust.App, stages: Iterable[Stage]) -> None:
    async def rouse() -> None:
        for stage in stages:
            await stage.rouse()

    app.timer(ROUSE_S)(rouse)


def _watch_ticks(app: faust.App, windows: WindowsStage, ticks_topic: str) -> None:
    async def assign(*args: Any, **kwargs: Any) -> None:
        assigned: set[TP] = args[1]  # after the sender, which is the application
        windows.assign(tp.partition for tp in assigned if tp.topic == ticks_topic)

    async def close_idle() -> None:
        await windows.close_idle(time.time_ns())

    app.on_partitions_assigned.connect(assign, weak=False)
    app.timer(IDLE_CHECK_S)(close_idle)


def _agent(app: faust.App, stage: Stage, source: str, name: str) -> None:
    async def agent(stream: StreamT[Any]) -> None:
        await stage.consume(stream)

    app.agent(_topic(app, source), name=name, concurrency=1)(agent)


def _topic(app: faust.App, name: str) -> faust.TopicT:
    return app.topic(
        name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", allow_empty=True
    )


def _checkpoints(app: faust.App, config: PipelineConfig, name: str) -> Checkpoints:
    return Checkpoints(TopicChangelog(app, config.bootstrap_servers, name), config.universe.encode())


def _settings(
    config: PipelineConfig, role: WorkerRole, worker_id: str, replication_factor: int
) -> dict[str, Any]:
    member = member_id(config, role, worker_id)
    return {
        "broker": [f"kafka://{address}" for address in config.bootstrap_servers.split(",")],
        "broker_credentials": _credentials(),
        "broker_client_id": member,
        "consumer_group_instance_id": member,
        "broker_session_timeout": 10.0,
        "broker_heartbeat_interval": 1.0,
        "broker_commit_interval": 0.3,
        "broker_request_timeout": 60.0,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": MAX_MESSAGE_BYTES + REQUEST_OVERHEAD_BYTES,
        "producer_max_request_size": MAX_MESSAGE_BYTES + REQUEST_OVERHEAD_BYTES,
        "producer_max_batch_size": MAX_BATCH_BYTES,
        "producer_acks": -1,
        "key_serializer": "raw",
        "value_serializer": "raw",
        "processing_guarantee": "at_least_once",
        # Faust makes empty folders there even so; by default in the folder that the worker was started in.
        "datadir": str(Path(tempfile.gettempdir()) / "cs3g-faust"),
        "stream_wait_empty": False,
        "stream_buffer_maxsize": 64,
        "topic_replication_factor": replication_factor,
        "topic_partitions": config.tick_partitions,
        "topic_disable_leader": True,
        "web_enabled": False,
    }


def _credentials() -> faust.types.auth.CredentialsT | None:
    security = broker_security()
    if security.uses_sasl:
        return faust.SASLCredentials(
            username=security.user,
            password=security.password,
            mechanism=security.mechanism,
            ssl_context=security.ssl_context(),
        )
    context = security.ssl_context()
    return None if context is None else faust.SSLCredentials(context=context)
