"""`cs3g predictions`: look at, export and digest what the pipeline publishes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cs3g.commands.options import DEFAULT_BOOTSTRAP, Bootstrap, Prefix, Universe

if TYPE_CHECKING:
    from topics.client import PredictionReader
    from topics.runs import PredictionRun

app = typer.Typer(help="Tail, export and digest predictions.", no_args_is_help=True)

RoleChoice = Annotated[Literal["student", "teacher", "both"], typer.Option(help="Whose predictions.")]


@app.command()
def tail(
    bootstrap_servers: Bootstrap = DEFAULT_BOOTSTRAP,
    universe: Universe = "default",
    topic_prefix: Prefix = "",
    role: RoleChoice = "student",
    from_beginning: Annotated[bool, typer.Option(help="Start with the oldest window kept.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many windows.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a prediction.")] = False,
) -> None:
    """Print predictions as they come.

    Example: cs3g predictions tail --universe sp500 --json
    """
    import asyncio

    async def follow() -> None:
        left = limit
        async with _reader(bootstrap_servers, universe, topic_prefix, role, from_beginning) as reader:
            async for run in reader:
                for window in range(len(run.ts_close)):
                    _echo(run, window, as_json)
                    if left is not None:
                        left -= 1
                        if left == 0:
                            return

    asyncio.run(follow())


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="Parquet file to write.")],
    bootstrap_servers: Bootstrap = DEFAULT_BOOTSTRAP,
    universe: Universe = "default",
    topic_prefix: Prefix = "",
    role: RoleChoice = "both",
) -> None:
    """Write everything that the topic holds to a Parquet file.

    Example: cs3g predictions export predictions.parquet --universe sp500
    """
    import asyncio

    from cs3g.prediction_frame import write_predictions

    runs = asyncio.run(_read_all(bootstrap_servers, universe, topic_prefix, role))
    rows = write_predictions(out, runs)
    typer.echo(f"{rows} predictions written to {out}")


@app.command()
def digest(
    bootstrap_servers: Bootstrap = DEFAULT_BOOTSTRAP,
    universe: Universe = "default",
    topic_prefix: Prefix = "",
    role: RoleChoice = "both",
) -> None:
    """Print the SHA-256 over the deduplicated predictions: equal ticks give equal digests.

    Example: cs3g predictions digest --topic-prefix replay.r1.
    """
    import asyncio

    from topics.digest import prediction_digest

    runs = asyncio.run(_read_all(bootstrap_servers, universe, topic_prefix, role))
    typer.echo(f"digest {prediction_digest(runs)}")


def _reader(
    bootstrap_servers: str, universe: str, prefix: str, role: str, from_beginning: bool
) -> PredictionReader:
    from topics.client import PredictionReader
    from topics.specs import is_replay_name

    return PredictionReader(
        bootstrap_servers,
        universe=universe,
        role=None if role == "both" else role,  # type: ignore[arg-type]  # typer checked the choice
        prefix=prefix,
        from_beginning=from_beginning,
        allow_replay=is_replay_name(prefix),
    )


async def _read_all(bootstrap_servers: str, universe: str, prefix: str, role: str) -> list[PredictionRun]:
    async with _reader(bootstrap_servers, universe, prefix, role, from_beginning=True) as reader:
        return await reader.read_available()


def _echo(run: PredictionRun, window: int, as_json: bool) -> None:
    ts_close = int(run.ts_close[window])
    for n in run.mask[window].nonzero()[0].tolist():
        row = {
            "ts_close": ts_close,
            "symbol": run.symbols[n],
            "role": run.role,
            "model_id": run.model_id,
            "score": float(run.scores[window, n]),
            "rank": int(run.ranks[window, n]),
            "warmup": bool(run.warmup[window]),
        }
        typer.echo(json.dumps(row) if as_json else "  ".join(str(value) for value in row.values()))
