"""`cs3g compress`: a student in fewer bytes."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from cs3g.fit_options import Data, HistoryWindows, Out, Relations, Seed, TestEnd, TrainEnd, ValidEnd, Window


def compress(
    student: Annotated[str, typer.Option(help="Model id, or an artifact's folder.")],
    data: Data,
    train_end: TrainEnd,
    valid_end: ValidEnd,
    budget_bytes: Annotated[
        int, typer.Option(min=1, help="Most bytes of the weights file, its header included.")
    ],
    out: Out,
    relations: Relations = None,
    test_end: TestEnd = None,
    window: Window = None,
    history_windows: HistoryWindows = 16,
    teacher: Annotated[
        str | None, typer.Option(help="Teacher whose knowledge enters the fits, beside the student's own.")
    ] = None,
    prune_width: Annotated[int | None, typer.Option(min=1, help="Channels and units to keep.")] = None,
    prune_state: Annotated[int | None, typer.Option(min=1, help="States of a channel to keep.")] = None,
    prune_rank: Annotated[int | None, typer.Option(min=1, help="Factors of the graph to keep.")] = None,
    tune_epochs: Annotated[
        int | None, typer.Option(min=1, help="Most passes of the fine-tuning after pruning.")
    ] = None,
    qat_epochs: Annotated[
        int | None, typer.Option(min=0, help="Most passes on rounded weights; 0 rounds without training.")
    ] = None,
    activations: Annotated[
        bool, typer.Option("--activations", help="Round the inputs of the linear layers to 8 bits too.")
    ] = False,
    seed: Seed = 0,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of settings to change, in its tables compress, tune, quantize, distill."
        ),
    ] = None,
) -> None:
    """Compress a student into a budget of bytes and save it with its metrics; prints its folder.

    Example: cs3g compress --student student --data panel.parquet --relations sectors.parquet
    --train-end 2017-12-31 --valid-end 2018-12-31 --budget-bytes 4096 --out models

    The least important parts are pruned if a size is given, and the rest is fine-tuned. Then each group of weights
    is rounded to fewer bits alone, and the ranking compared with the unrounded student's on the days after
    --train-end. The bits that fit the budget at the least loss are chosen, and the student is trained on the
    weights so rounded. The sweep is kept in the manifest.
    """
    import msgspec

    from cs3g.compress_report import BarReporter
    from cs3g.compress_settings import read_compress_settings
    from cs3g.fitting import History
    from cs3g.models import load_as
    from cs3g.panel_data import PanelFile, parse_window
    from cs3g_model.artifacts import runtime_of, save_artifact
    from cs3g_model.compression.compress import compress as compress_student
    from cs3g_model.compression.compress import pruned_within
    from cs3g_model.config import StudentConfig, TeacherConfig

    parent, parent_config = load_as(StudentConfig, student, out)
    master, lesson = None, None
    if teacher is not None:
        master, master_config = load_as(TeacherConfig, teacher, out)
        lesson = master_config, master.tensors
    settings = read_compress_settings(
        config,
        sizes={"width": prune_width, "state_size": prune_state, "rank": prune_rank},
        seed=seed,
        tune_epochs=tune_epochs,
        quantize_epochs=qat_epochs,
        activations=activations,
    )
    pruned_within(parent_config, parent.tensors, budget_bytes, settings)  # before a long file is read
    panel = PanelFile(data, relations, parse_window(window))
    history = History.split(
        panel.graph_run(),
        train_end.date(),
        valid_end.date(),
        test_end.date() if test_end else None,
        history_windows,
    )
    history.warn_if_thin()
    result = compress_student(
        parent_config,
        parent.tensors,
        history.data,
        budget_bytes,
        settings,
        teacher=lesson,
        reporter=BarReporter(),
    )
    scores = history.scores(result.runtime("unsaved"))
    before = history.judged(scores, history.scores(runtime_of(parent)))
    metrics = history.judged(scores, None if master is None else history.scores(runtime_of(master)))
    for part in history.parts():
        metrics[f"{part}_parent_agreement"] = before[f"{part}_agreement"]
        metrics[f"{part}_rank_ic_minus_parent"] = before[f"{part}_rank_ic_minus_teacher"]
    folder = save_artifact(
        out,
        result.config,
        result.stored,
        quantization=result.quantization,
        parent_id=parent.manifest.model_id,
        data_sha256=panel.sha256(),
        splits=history.splits(),
        seed=seed,
        command=shlex.join(["cs3g", *sys.argv[1:]]),
        training={
            "compress": msgspec.to_builtins(settings),
            "budget_bytes": budget_bytes,
            "teacher": None if master is None else master.manifest.model_id,
        },
        metrics=metrics | {"compression": result.metrics},
    )
    typer.echo(str(folder))
