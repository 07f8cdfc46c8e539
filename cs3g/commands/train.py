"""`cs3g train`: fit a model to a panel."""

from __future__ import annotations

import shlex
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Train a model on a panel.")


@app.callback()
def _group() -> None:
    """Train a model on a panel."""


@app.command("teacher")
def teacher(
    data: Annotated[str, typer.Option(help="A panel or tick file, or the name of an installed data set.")],
    train_end: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day to fit, UTC.")],
    valid_end: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day to choose by, UTC.")],
    out: Annotated[Path, typer.Option(help="Folder in which the artifact's folder appears.")],
    relations: Annotated[
        Path | None, typer.Option(help="Table of symbol, sector, or of symbol_a, symbol_b.")
    ] = None,
    test_end: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Judge the days after --valid-end up to this one."),
    ] = None,
    window: Annotated[
        str | None, typer.Option(help="Length of a window, such as 1s; the bars' own by default.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides every random choice.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="Most passes over the training windows.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with tables [model] and [train] of settings to change.")
    ] = None,
) -> None:
    """Train a teacher (S3G) and save it with its metrics; prints its folder.

    Example: cs3g train teacher --data panel.parquet --relations sectors.parquet --train-end 2017-12-31
    --valid-end 2018-12-31 --seed 0 --out models
    """
    import msgspec

    from cs3g.fitting import History, progress_bar, read_settings
    from cs3g.panel_data import PanelFile, parse_window
    from cs3g_model.artifacts import save_artifact
    from cs3g_model.config import TeacherConfig, TrainConfig
    from cs3g_model.teacher_runtime import TeacherRuntime
    from cs3g_model.train import train

    changes = read_settings(config, {"model": TeacherConfig, "train": TrainConfig})
    changes["train"] |= {"seed": seed, **({} if epochs is None else {"epochs": epochs})}
    model, settings = TeacherConfig(**changes["model"]), TrainConfig(**changes["train"])
    panel = PanelFile(data, relations, parse_window(window))
    history = History.split(
        panel.graph_run(), train_end.date(), valid_end.date(), test_end.date() if test_end else None
    )
    with progress_bar("teacher") as progress:
        result = train(model, history.data, settings, progress)
    folder = save_artifact(
        out,
        model,
        result.tensors,
        data_sha256=panel.sha256(),
        splits=history.splits(),
        seed=seed,
        command=shlex.join(["cs3g", *sys.argv[1:]]),
        training=msgspec.to_builtins(settings),
        metrics=history.metrics(TeacherRuntime(model, result.tensors, "unsaved")),
    )
    typer.echo(str(folder))
