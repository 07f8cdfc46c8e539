"""`cs3g jobs`: retraining jobs, their workers, and how they stand."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(help="Submit, list, work on and cancel retraining jobs.", no_args_is_help=True)

Bootstrap = Annotated[str | None, typer.Option(help="Kafka brokers, host:port[,host:port].")]
Universe = Annotated[str | None, typer.Option(help="Name of the universe.")]
Prefix = Annotated[str | None, typer.Option(help="Prefix of all topics, e.g. replay.<run_id>.")]
Mode = Annotated[Literal["live", "replay"] | None, typer.Option(help="live, or replay.")]


@app.command()
def submit(
    kind: Annotated[
        Literal["distill", "compress"],
        typer.Option(help="distill: as the recipe says. compress: and make it as small as the incumbent."),
    ] = "distill",
    teacher: Annotated[str | None, typer.Option(help="Id of the teacher; default: the active one.")] = None,
    student: Annotated[
        str | None, typer.Option(help="Id of the student to start from; default: start anew.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="live-graphs, or an archive's name in the worker's folder.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Name of a recipe; default: quick.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides every random choice.")] = 0,
    from_: Annotated[
        str | None, typer.Option("--from", help="Learn from windows that end after it; ns or ISO 8601, UTC.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="Learn from windows that end by then; ns or ISO 8601, UTC.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Serve windows that end after it; ns or ISO 8601, UTC.")
    ] = None,
    promotion: Annotated[
        Literal["auto", "manual"],
        typer.Option(help="auto: activate if no worse than the incumbent. manual: wait for a person."),
    ] = "auto",
    reason: Annotated[str, typer.Option(help="For those who read the list.")] = "manual",
    job_id: Annotated[
        str | None, typer.Option(help="Name of the job; the same name is the same job. Default: a new one.")
    ] = None,
    bootstrap_servers: Bootstrap = None,
    topic_prefix: Prefix = None,
    universe: Universe = None,
    mode: Mode = None,
) -> None:
    """Ask for a new student; prints the job's id.

    Example: cs3g jobs submit --universe sp500 --recipe quick --from 2020-01-01 --to 2020-12-31
    """
    import asyncio
    import time

    from cs3g.jobs.sending import parse_time, send_record
    from pipeline.config import load_config
    from topics.control import JobRequest

    config = load_config(
        bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix, universe=universe, mode=mode
    )
    now_ns = time.time_ns()
    request = JobRequest(
        job_id=job_id or f"{kind}-{now_ns}-{os.urandom(3).hex()}",
        kind=kind,
        universe=config.universe,
        teacher_id=teacher,
        student_id=student,
        dataset_id=dataset,
        recipe_id=recipe,
        seed=seed,
        from_ts_close=parse_time("--from", from_),
        to_ts_close=parse_time("--to", to),
        since_ts_close=parse_time("--since", since),
        promotion=promotion,
        reason=reason,
        requested_ns=now_ns,
    )
    asyncio.run(send_record(config, request))
    typer.echo(request.job_id)


@app.command()
def cancel(
    job_id: Annotated[str, typer.Argument(help="As `cs3g jobs list` shows it.")],
    reason: Annotated[str, typer.Option(help="For those who read the list.")] = "cancelled by hand",
    bootstrap_servers: Bootstrap = None,
    topic_prefix: Prefix = None,
    universe: Universe = None,
    mode: Mode = None,
) -> None:
    """Ask that a job end; one that has ended stays as it is.

    Example: cs3g jobs cancel distill-1 --reason "wrong range"
    """
    import asyncio

    from cs3g.jobs.sending import require_job, send_record
    from pipeline.config import load_config
    from topics.control import JobCancel

    config = load_config(
        bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix, universe=universe, mode=mode
    )

    async def ask() -> None:
        await require_job(config, job_id)
        await send_record(config, JobCancel(job_id=job_id, reason=reason))

    asyncio.run(ask())
    typer.echo(f"asked for the end of {job_id}")


@app.command("list")
def list_jobs(
    bootstrap_servers: Bootstrap = None,
    topic_prefix: Prefix = None,
    universe: Universe = None,
    mode: Mode = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array of the jobs.")] = False,
) -> None:
    """List jobs and how they stand, the oldest first.

    Example: cs3g jobs list --universe sp500 --json
    """
    import asyncio

    import msgspec
    from rich.console import Console
    from rich.table import Table

    from cs3g.jobs.sending import job_rows, read_board
    from cs3g.tables import print_whole
    from pipeline.config import load_config

    config = load_config(
        bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix, universe=universe, mode=mode
    )
    rows = job_rows(asyncio.run(read_board(config)), config.universe)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return
    table = Table("job", "kind", "state", "done", "model", "rank IC", "detail", box=None)
    for row in rows:
        rank_ic = row["metrics"].get("rank_ic")
        table.add_row(
            row["job_id"],
            row["kind"] or "-",
            row["state"],
            f"{row['progress']:.0%}",
            row["model_id"] or "-",
            "-" if rank_ic is None else f"{rank_ic:.4f}",
            row["detail"] or row["reason"],
        )
    print_whole(Console(), table)


@app.command()
def work(
    worker_id: Annotated[
        str | None, typer.Option("--id", help="Name of this worker in logs; default: host and process.")
    ] = None,
    registry: Annotated[
        str | None, typer.Option(help="Where models go: a folder or an s3:// url.", show_default=False)
    ] = None,
    datasets: Annotated[
        Path | None, typer.Option(help="Folder whose folders are archives that jobs may learn from.")
    ] = None,
    recipes: Annotated[
        Path | None, typer.Option(help="Folder of recipes that jobs may name besides the shipped ones.")
    ] = None,
    spool: Annotated[
        Path | None, typer.Option(help="Folder for the files of the job in hand; default: a temporary one.")
    ] = None,
    engine: Annotated[
        Literal["process", "torchrun", "ray"], typer.Option(help="Where a job's process runs.")
    ] = "process",
    processes: Annotated[int, typer.Option(min=1, help="Processes of torchrun.")] = 1,
    ray_address: Annotated[
        str | None, typer.Option(help="Ray cluster, such as auto; default: start Ray here.")
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Longest attempt at a job, s.")] = 3600.0,
    lease_s: Annotated[
        float, typer.Option("--lease", help="After so long a silence a job is taken over, s.")
    ] = 30.0,
    margin: Annotated[
        float, typer.Option(help="By how much a promoted student may be worse, in the mean of the measure.")
    ] = 0.005,
    measure: Annotated[
        Literal["rank-ic", "agreement"],
        typer.Option(help="What it is compared by: the rank IC, or the rank agreement with the teacher."),
    ] = "rank-ic",
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many jobs.")] = None,
    bootstrap_servers: Bootstrap = None,
    topic_prefix: Prefix = None,
    universe: Universe = None,
    mode: Mode = None,
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        typer.Option(case_sensitive=False, help="What is logged to stderr."),
    ] = "WARNING",
) -> None:
    """Work on jobs until told to stop (SIGTERM, Ctrl-C). Several workers share the jobs.

    Example: cs3g jobs work --universe sp500 --datasets archives --timeout 1800
    """
    import asyncio
    import logging
    import sys
    import tempfile

    from cs3g.jobs.engines import EngineConfig
    from cs3g.jobs.settings import WorkerSettings
    from cs3g.jobs.worker import JobWorker
    from cs3g.stopping import stop_event
    from pipeline.config import load_config
    from pipeline.registry import Registry

    config = load_config(
        bootstrap_servers=bootstrap_servers,
        topic_prefix=topic_prefix,
        universe=universe,
        mode=mode,
        registry=registry,
    )
    logging.basicConfig(
        stream=sys.stderr, level=log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    with tempfile.TemporaryDirectory(prefix="cs3g-jobs-") as temporary:
        settings = WorkerSettings(
            spool=spool or Path(temporary),
            datasets=datasets,
            recipes=recipes,
            engine=EngineConfig(name=engine, processes=processes, ray_address=ray_address),
            timeout_s=timeout_s,
            lease_s=lease_s,
            margin=margin,
            measure=measure,
        )
        worker = JobWorker(
            config,
            Registry(config.registry_url),
            settings,
            worker_id or f"{socket.gethostname()}-{os.getpid()}",
        )

        async def run() -> int:
            return await worker.run(stop_event(), limit)

        done = asyncio.run(run())
    typer.echo(f"{done} jobs done")
