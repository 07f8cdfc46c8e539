"""`cs3g worker`: one process of the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def worker(
    role: Annotated[
        Literal["student", "teacher", "outcomes"],
        typer.Option(
            help="student: windows, graphs and scores. teacher: scores in the student's shadow."
            " outcomes: what became of the scores, and when to retrain."
        ),
    ] = "student",
    worker_id: Annotated[
        str, typer.Option("--id", help="Stable name of this worker; give it again when you restart it.")
    ] = "1",
    model: Annotated[
        str | None, typer.Option(help="Artifact id; default: the shipped model of the role.")
    ] = None,
    trigger_policy: Annotated[
        Path | None,
        typer.Option(help="Of role outcomes: TOML file of the trigger policy; or set CS3G_TRIGGER_...."),
    ] = None,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Kafka brokers, host:port[,host:port].")
    ] = None,
    topic_prefix: Annotated[
        str | None, typer.Option(help="Prefix of all topics, e.g. replay.<run_id>.")
    ] = None,
    universe: Annotated[str | None, typer.Option(help="Name of the universe.")] = None,
    window: Annotated[str | None, typer.Option(help="Length of a window: 1s, 250ms, 1m, 1d.")] = None,
    lateness: Annotated[
        str | None, typer.Option(help="How far the watermark trails the newest tick.")
    ] = None,
    partitions: Annotated[int | None, typer.Option(help="Partitions of the tick topic.")] = None,
    mode: Annotated[Literal["live", "replay"] | None, typer.Option(help="live, or replay.")] = None,
    replication_factor: Annotated[int, typer.Option(min=1, help="Of the checkpoints' changelog topics.")] = 1,
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        typer.Option(case_sensitive=False, help="What is logged to stderr."),
    ] = "WARNING",
) -> None:
    """Run one worker until it is told to stop (SIGTERM, Ctrl-C).

    Every option can also be set in the environment, as CS3G_ and its name in capitals. Several workers
    of a role share the partitions.

    Example: cs3g worker --id a --bootstrap-servers 127.0.0.1:9092 --window 1s
    """
    from cs3g.models import load_model
    from pipeline.config import load_config
    from pipeline.outcomes_config import load_outcomes_config
    from pipeline.trigger_config import load_trigger_policy
    from pipeline.worker import run_outcomes_worker, run_worker

    config = load_config(
        bootstrap_servers=bootstrap_servers,
        topic_prefix=topic_prefix,
        universe=universe,
        window_size_ns=window,
        allowed_lateness_ns=lateness,
        tick_partitions=partitions,
        mode=mode,
    )
    if role == "outcomes":
        run_outcomes_worker(
            config,
            load_outcomes_config(),
            load_trigger_policy(trigger_policy),
            worker_id=worker_id,
            replication_factor=replication_factor,
            log_level=log_level,
        )
        return
    run_worker(
        config,
        role=role,
        worker_id=worker_id,
        model=load_model(config, role, model),
        replication_factor=replication_factor,
        log_level=log_level,
    )
