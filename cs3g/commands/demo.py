"""`cs3g demo`: real market data through broker, workers and both models, with the comparison at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo-out"),
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="File or folder that the readers know; may be repeated. Default: the S&P 500 panel."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=16, help="Student workers that share the partitions.")
    ] = 1,
    speed: Annotated[
        float, typer.Option(min=0.0, help="Event seconds a second; 0: as fast as possible.")
    ] = 0.0,
    teacher: Annotated[bool, typer.Option(help="Run a teacher in the student's shadow.")] = True,
    window: Annotated[
        str | None, typer.Option(help="Length of a window; default by the data: 1d, 1m or 1s.")
    ] = None,
    batch_ticks: Annotated[int, typer.Option(min=1, help="Ticks a message.")] = 1000,
    limit: Annotated[int | None, typer.Option(min=1, help="Replay at most so many ticks.")] = None,
    symbols: Annotated[str | None, typer.Option(help="Only these, comma-separated.")] = None,
    sectors: Annotated[Path | None, typer.Option(help="File with columns symbol, sector.")] = None,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of the tick topic.")] = 4,
    student_model: Annotated[
        str | None, typer.Option(help="Artifact id; default: the shipped student.")
    ] = None,
    teacher_model: Annotated[
        str | None, typer.Option(help="Artifact id; default: the shipped teacher.")
    ] = None,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Use this broker instead of starting an embedded one.")
    ] = None,
) -> None:
    """Replay market data through Kafka and Faust, and compare teacher and student.

    Writes predictions.parquet, ab.json, ab.md, ab.html, run.json and the workers' logs, and prints the digest last.

    Example: cs3g demo --out demo-out --workers 3
    """
    from cs3g.demo_run import DemoOptions, run_demo

    run_demo(
        DemoOptions(
            out=out,
            data=tuple(data or ()),
            workers=workers,
            speed=speed,
            teacher=teacher,
            window=window,
            batch_ticks=batch_ticks,
            limit=limit,
            symbols=frozenset(symbols.split(",")) if symbols else None,
            sectors=sectors,
            partitions=partitions,
            student_model=student_model,
            teacher_model=teacher_model,
            bootstrap_servers=bootstrap_servers,
        )
    )
