"""`cs3g train`: fit a model to a panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

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
    Seeds,
    TestEnd,
    TrainEnd,
    ValidEnd,
    Window,
    parse_seeds,
)

app = typer.Typer(no_args_is_help=True, help="Train a model on a panel.")

_HELP = """{what} and save it with its metrics; prints its folder.

Example: cs3g train {role} --data panel.parquet --relations sectors.parquet --train-end 2017-12-31
--valid-end 2018-12-31 --seed 0 --out models

Several seeds on several cores, with their mean, spread and ensemble in models/{role}-seeds.json:
torchrun --nproc-per-node 2 -m cs3g train {role} --seeds 0,1,2,3 ... . With one seed the processes share its
dates.
"""


@app.callback()
def _group() -> None:
    """Train a model on a panel."""


def _command(role: Literal["teacher", "student"]) -> Callable[..., None]:
    def command(
        data: Data,
        train_end: TrainEnd,
        valid_end: ValidEnd,
        out: Out,
        relations: Relations = None,
        test_end: TestEnd = None,
        window: Window = None,
        history_windows: HistoryWindows = 16,
        seed: Seed = 0,
        seeds: Seeds = None,
        epochs: Epochs = None,
        config: Config = None,
        device: Device = "auto",
        checkpoint: CheckpointFolder = None,
        resume: Resume = False,
        metrics: MetricsFile = None,
    ) -> None:
        from dataclasses import replace

        import msgspec

        from cs3g.file_relations import reading_relations
        from cs3g.fitting import History, read_settings
        from cs3g.panel_data import PanelFile, parse_window
        from cs3g.seed_fits import SeedPlan, fit_seeds
        from cs3g_model.config import StudentConfig, TeacherConfig, TrainConfig

        all_seeds = parse_seeds(seed, seeds)
        if resume and checkpoint is None:
            raise typer.BadParameter("--resume needs the folder to go on from: give --checkpoint")
        kind: type[TeacherConfig | StudentConfig] = TeacherConfig if role == "teacher" else StudentConfig
        changes = read_settings(config, {"model": kind, "train": TrainConfig})
        if epochs is not None:
            changes["train"]["epochs"] = epochs
        panel = PanelFile(data, relations, parse_window(window))
        plan = SeedPlan(
            model=msgspec.convert(changes["model"], kind),
            settings=msgspec.convert(changes["train"], TrainConfig),
            seeds=all_seeds,
            out=out,
            device=device,
            checkpoint=checkpoint,
            resume=resume,
            metrics=metrics,
            data_sha256=panel.sha256(),
        )
        history = History.split(
            panel.graph_run(),
            train_end.date(),
            valid_end.date(),
            test_end.date() if test_end else None,
            history_windows,
        )
        history.warn_if_thin()
        plan = replace(plan, model=reading_relations(plan.model, changes["model"], history.run))
        for path in fit_seeds(plan, history):
            typer.echo(str(path))

    return command


app.command("teacher", help=_HELP.format(what="Train a teacher (S3G)", role="teacher"))(_command("teacher"))
app.command(
    "student",
    help=_HELP.format(what="Train a student (C-S3G) on labels alone, without a teacher,", role="student"),
)(_command("student"))
