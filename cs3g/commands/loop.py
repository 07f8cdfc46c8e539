"""`cs3g loop`: history replayed with the whole retraining loop running beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def loop(
    out: Annotated[Path, typer.Option(help="Folder for the results and the registry; a new one.")] = Path(
        "loop-out"
    ),
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="File or folder that the readers know; may be repeated. Default: the S&P 500 panel."
        ),
    ] = None,
    stale_at: Annotated[
        float, typer.Option(help="Share of the replayed time after which the student is made stale.")
    ] = 0.3,
    stale_amount: Annotated[
        float, typer.Option(help="Share of the student's head that is forgotten then, up to 1.")
    ] = 1.0,
    policy: Annotated[
        Path | None, typer.Option(help="TOML file of a trigger policy; default: one made for a year of days.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=16, help="Student workers that share the partitions.")
    ] = 1,
    job_workers: Annotated[int, typer.Option(min=1, max=8, help="Workers that share the jobs.")] = 1,
    window: Annotated[
        str | None, typer.Option(help="Length of a window; default by the data: 1d, 1m or 1s.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Replay at most so many ticks.")] = None,
    symbols: Annotated[str | None, typer.Option(help="Only these, comma-separated.")] = None,
    sectors: Annotated[Path | None, typer.Option(help="File with columns symbol, sector.")] = None,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of the tick topic.")] = 4,
    student_model: Annotated[str, typer.Option(help="Artifact to start with, an id or a path.")] = "student",
    teacher_model: Annotated[
        str | None, typer.Option(help="Artifact id; default: the shipped teacher.")
    ] = None,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Use this broker instead of starting an embedded one.")
    ] = None,
) -> None:
    """Replay market data with a student that goes stale, and watch it being noticed, retrained and swapped.

    Outcomes are measured, the trigger policy asks for a job, a job worker distils a new student and compares it
    with the stale one, and the workers swap it in at a window's boundary. The replay waits for the job where a
    market would not, so that the digest is the same in every run.

    Example: cs3g loop --out loop-out
    """
    from cs3g.loop.plan import LoopOptions
    from cs3g.loop.run import run_loop

    run_loop(
        LoopOptions(
            out=out,
            data=tuple(data or ()),
            stale_at=stale_at,
            stale_amount=stale_amount,
            policy=policy,
            workers=workers,
            job_workers=job_workers,
            window=window,
            limit=limit,
            symbols=frozenset(symbols.split(",")) if symbols else None,
            sectors=sectors,
            partitions=partitions,
            student_model=student_model,
            teacher_model=teacher_model,
            bootstrap_servers=bootstrap_servers,
        )
    )
