"""The options that every command which fits a model has, as types for its parameters."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "CheckpointFolder",
    "Config",
    "Data",
    "Device",
    "Epochs",
    "HistoryWindows",
    "MetricsFile",
    "Out",
    "Relations",
    "Resume",
    "Seed",
    "Seeds",
    "TestEnd",
    "TrainEnd",
    "ValidEnd",
    "Window",
    "parse_seeds",
]

_DAY = ["%Y-%m-%d"]

Data = Annotated[str, typer.Option(help="A panel or tick file, or the name of an installed data set.")]
TrainEnd = Annotated[datetime, typer.Option(formats=_DAY, help="Last day to fit, UTC.")]
ValidEnd = Annotated[datetime, typer.Option(formats=_DAY, help="Last day to choose by, UTC.")]
Out = Annotated[Path, typer.Option(help="Folder in which the artifact's folder appears.")]
Relations = Annotated[
    Path | None, typer.Option(help="Table of symbol, sector, or of symbol_a, symbol_b[, relation, weight].")
]
TestEnd = Annotated[
    datetime | None, typer.Option(formats=_DAY, help="Judge the days after --valid-end up to this one.")
]
Window = Annotated[str | None, typer.Option(help="Length of a window, such as 1s; the bars' own by default.")]
HistoryWindows = Annotated[
    int,
    typer.Option(
        "--history",
        min=1,
        help="Windows without a gap that an instrument needs before it is fitted and judged.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Decides every random choice.")]
Seeds = Annotated[
    str | None,
    typer.Option(help="Fit one model a seed, such as 0,1,2, and sum them up; instead of --seed."),
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Most passes over the training windows.")]
Config = Annotated[
    Path | None, typer.Option(help="TOML file of settings to change, in its tables model and train.")
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="auto takes CUDA, with bfloat16, where there is some.")
]
CheckpointFolder = Annotated[
    Path | None, typer.Option(help="Keep the fit here every minute and at each validation.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from --checkpoint if it holds a fit.")]
MetricsFile = Annotated[Path | None, typer.Option(help="Write progress to this file as JSON lines.")]


def parse_seeds(seed: int, seeds: str | None) -> list[int]:
    """Return the seeds that two options ask for.

    Raises
    ------
    typer.BadParameter
        If `seeds` is not a list of different numbers in [0, 2^32), or both options are given.
    """
    if seeds is None:
        return [seed]
    if seed:
        raise typer.BadParameter("give --seed or --seeds, not both")
    try:
        numbers = [int(text) for text in seeds.split(",")]
    except ValueError:
        numbers = []
    if not numbers or len(set(numbers)) < len(numbers) or not all(0 <= n < 2**32 for n in numbers):
        raise typer.BadParameter(f"--seeds {seeds!r} must be different numbers of [0, 2^32), such as 0,1,2")
    return numbers
