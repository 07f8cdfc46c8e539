"""`cs3g distill`: a student from a teacher."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from cs3g.fit_options import (
    CheckpointFolder,
    Config,
    Data,
    Device,
    Epochs,
    HistoryWindows,
    MetricsFile,
    Out,
    Relations,
    Resume,
    Seed,
    TestEnd,
    TrainEnd,
    ValidEnd,
    Window,
)


def distill(
    teacher: Annotated[str, typer.Option(help="Model id, or an artifact's folder.")],
    data: Data,
    train_end: TrainEnd,
    valid_end: ValidEnd,
    out: Out,
    relations: Relations = None,
    test_end: TestEnd = None,
    window: Window = None,
    history_windows: HistoryWindows = 16,
    recipe: Annotated[
        str | None,
        typer.Option(help="Losses and stages: a recipe's name (default, progressive, ...) or a TOML file."),
    ] = None,
    explainer: Annotated[
        list[str] | None,
        typer.Option(help="A further teacher whose explanations must agree, for recipes with keywords."),
    ] = None,
    seed: Seed = 0,
    epochs: Epochs = None,
    config: Config = None,
    device: Device = "auto",
    checkpoint: CheckpointFolder = None,
    resume: Resume = False,
    metrics: MetricsFile = None,
) -> None:
    """Distill a student (C-S3G) from a teacher and save it with its metrics; prints its folder.

    Example: cs3g distill --teacher teacher --data panel.parquet --relations sectors.parquet
    --train-end 2017-12-31 --valid-end 2018-12-31 --recipe progressive --out models

    A recipe has its losses in stages, and may teach an assistant first. An unknown name is answered with those
    that there are. The file of --config may have a table [distill] too, with the weights alpha, temperature and
    hint of the default recipe.
    """
    import msgspec

    from cs3g.file_relations import reading_relations
    from cs3g.fitting import History, progress_bar, read_settings, with_enough_updates
    from cs3g.models import load_as
    from cs3g.panel_data import PanelFile, parse_window
    from cs3g.recipe_files import read_recipe
    from cs3g_model.artifacts import runtime_of, save_artifact
    from cs3g_model.config import DistillConfig, StudentConfig, TeacherConfig, TrainConfig
    from cs3g_model.distillation.recipe import plain_recipe
    from cs3g_model.distillation.stages import distill as fit_student
    from cs3g_model.errors import ConfigError
    from cs3g_model.student_runtime import StudentRuntime
    from cs3g_model.training.options import RunOptions
    from cs3g_model.training.place import choose_place

    if resume and checkpoint is None:
        raise typer.BadParameter("--resume needs the folder to go on from: give --checkpoint")
    parent, parent_config = load_as(TeacherConfig, teacher, out)
    others = [load_as(TeacherConfig, name, out) for name in explainer or ()]
    changes = read_settings(config, {"model": StudentConfig, "train": TrainConfig, "distill": DistillConfig})
    model = msgspec.convert(changes["model"], StudentConfig)
    if recipe is not None and changes["distill"]:
        raise ConfigError(
            f"--recipe {recipe} and table [distill] of {config} exclude each other: leave one out"
        )
    if changes["distill"]:
        chosen = plain_recipe(msgspec.convert(changes["distill"], DistillConfig))
    else:
        chosen = read_recipe(recipe or "default")
    own = {"seed": seed, **({} if epochs is None else {"epochs": epochs})}
    said = chosen.training_changes() | changes["train"] | own
    panel = PanelFile(data, relations, parse_window(window))
    history = History.split(
        panel.graph_run(),
        train_end.date(),
        valid_end.date(),
        test_end.date() if test_end else None,
        history_windows,
    )
    history.warn_if_thin()
    settings = msgspec.convert(said, TrainConfig)
    if "epochs" not in said:
        settings = with_enough_updates(settings, history.data)
    model = reading_relations(model, changes["model"], history.run)
    teachers = [parent.manifest.model_id, *(artifact.manifest.model_id for artifact, _ in others)]
    options = RunOptions(
        place=choose_place(device),
        checkpoint=checkpoint,
        resume=resume,
        metrics=metrics,
        identity=" ".join(teachers),
    )
    with progress_bar("student") as progress:
        result = fit_student(
            parent_config,
            parent.tensors,
            model,
            history.data,
            chosen,
            settings,
            progress,
            options,
            explainers=[(found, artifact.tensors) for artifact, found in others],
        )
    folder = save_artifact(
        out,
        model,
        result.tensors,
        parent_id=parent.manifest.model_id,
        data_sha256=panel.sha256(),
        splits=history.splits(),
        seed=seed,
        # A distillation that was resumed is the one that was not: its artifact is the same, to the id.
        command=shlex.join(["cs3g", *(text for text in sys.argv[1:] if text != "--resume")]),
        training={
            "train": msgspec.to_builtins(settings),
            "recipe": msgspec.to_builtins(chosen),
            "explainers": teachers[1:],
        },
        metrics=history.metrics(StudentRuntime(model, result.tensors, "unsaved"), runtime_of(parent)),
    )
    typer.echo(str(folder))
