"""`cs3g ab`: two models or more on replayed history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def ab(
    a: Annotated[str, typer.Option("--a", help="Model: teacher, student, an id, or an artifact's folder.")],
    b: Annotated[str, typer.Option("--b", help="Model to compare it with; any role may be in any place.")],
    out: Annotated[Path, typer.Option(help="Folder for ab.json, ab.md, ab.html and run.json.")],
    model: Annotated[
        list[str] | None, typer.Option("--model", help="A third model and so on; repeat for more.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Panel, tick files or a folder of them; repeat for more. Default: the demo's panel."
        ),
    ] = None,
    relations: Annotated[
        Path | None, typer.Option(help="Table of symbol, sector, or of symbol_a, symbol_b.")
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(help="Length of a window, such as 1s; default by the data: 1d, 1h, 1m or 1s."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Replay at most so many ticks.")] = None,
    symbols: Annotated[str | None, typer.Option(help="Only these, comma-separated.")] = None,
    day: Annotated[
        str | None, typer.Option(help="Day, UTC, whose learned graph is shown; default: the last one.")
    ] = None,
    registry: Annotated[
        str | None, typer.Option(help="Where ids of models are looked for; default: the user's registry.")
    ] = None,
    through_kafka: Annotated[
        bool,
        typer.Option(
            "--through-kafka",
            help="Score in workers behind a broker too; fails unless the scores are identical.",
        ),
    ] = False,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="With --through-kafka: use this broker instead of an embedded one.")
    ] = None,
    margin: Annotated[
        float, typer.Option(min=1e-6, help="Mean rank IC within which two models count as equivalent.")
    ] = 0.005,
    history: Annotated[
        int, typer.Option(min=1, help="Windows without a gap that an instrument needs before it is judged.")
    ] = 16,
    block: Annotated[float, typer.Option(min=1.0, help="Mean block of the bootstrap, in windows.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
) -> None:
    """Compare models on history: rank IC, equivalence, books after costs, by sector and regime, graph, latency.

    Labels enter only after the horizon. Two runs write the same ab.json, byte for byte, in process and through Kafka.

    Example: cs3g ab --a teacher --b student --out ab-out
    """
    from cs3g.ab.run import AbOptions, run_ab
    from cs3g.ab.settings import AbSettings
    from cs3g.errors import ComparisonError
    from replay.options import parse_symbols

    if bootstrap_servers is not None and not through_kafka:
        raise ComparisonError("--bootstrap-servers needs --through-kafka: in process there is no broker")
    report = run_ab(
        AbOptions(
            models=(a, b, *(model or ())),
            out=out,
            data=tuple(data or ()),
            relations=relations,
            window=window,
            limit=limit,
            symbols=parse_symbols(symbols) if symbols is not None else None,
            day=day,
            registry=registry,
            through_kafka=through_kafka,
            bootstrap_servers=bootstrap_servers,
            settings=AbSettings(margin=margin, history=history, block=block, seed=seed),
        )
    )
    typer.echo(report.verdict)
    typer.echo(f"written to {out}: ab.json, ab.md, ab.html, run.json")
