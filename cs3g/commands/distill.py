"""`cs3g distill`: a student from a teacher."""

from __future__ import annotations

import shlex
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer


def distill(
    teacher: Annotated[str, typer.Option(help="Model id, or an artifact's folder.")],
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
        Path | None,
        typer.Option(help="TOML file with tables [model], [train] and [distill] of settings to change."),
    ] = None,
) -> None:
    """Distill a student (C-S3G) from a teacher and save it with its metrics; prints its folder.

    Example: cs3g distill --teacher teacher --data panel.parquet --relations sectors.parquet
    --train-end 2017-12-31 --valid-end 2018-12-31 --out models
    """
    import msgspec

    from cs3g.fitting import History, progress_bar, read_settings
    from cs3g.panel_data import PanelFile, parse_window
    from cs3g_model.artifacts import load_artifact, resolve_artifact, runtime_of, save_artifact
    from cs3g_model.config import DistillConfig, StudentConfig, TeacherConfig, TrainConfig
    from cs3g_model.distill import distill as fit_student
    from cs3g_model.errors import ArtifactError
    from cs3g_model.student_runtime import StudentRuntime

    parent = load_artifact(resolve_artifact(teacher, out))
    parent_config = parent.manifest.model_config()
    if not isinstance(parent_config, TeacherConfig):
        raise ArtifactError(f"{parent.path} is a {parent.manifest.role}, not a teacher")
    changes = read_settings(config, {"model": StudentConfig, "train": TrainConfig, "distill": DistillConfig})
    changes["train"] |= {"seed": seed, **({} if epochs is None else {"epochs": epochs})}
    model = StudentConfig(**changes["model"])
    settings = DistillConfig(train=TrainConfig(**changes["train"]), **changes["distill"])
    panel = PanelFile(data, relations, parse_window(window))
    history = History.split(
        panel.graph_run(), train_end.date(), valid_end.date(), test_end.date() if test_end else None
    )
    with progress_bar("student") as progress:
        result = fit_student(parent_config, parent.tensors, model, history.data, settings, progress)
    folder = save_artifact(
        out,
        model,
        result.tensors,
        parent_id=parent.manifest.model_id,
        data_sha256=panel.sha256(),
        splits=history.splits(),
        seed=seed,
        command=shlex.join(["cs3g", *sys.argv[1:]]),
        training=msgspec.to_builtins(settings),
        metrics=history.metrics(StudentRuntime(model, result.tensors, "unsaved"), runtime_of(parent)),
    )
    typer.echo(str(folder))
