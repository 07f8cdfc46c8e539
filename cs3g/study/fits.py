"""Runs the study's commands, each in a process of its own, as many at once as there are workers."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cs3g.errors import StudyError
from cs3g.files import write_whole
from cs3g.study.plan import COMPRESSED, STUDENT, TEACHER, Study, Variant

__all__ = ["Fitted", "fit_all", "slug"]

Fitted = dict[tuple[str, int], Path]
"""The artifact's folder by variant and seed."""


def slug(name: str, seed: int) -> str:
    """Return a file name for a variant and a seed."""
    return f"{_file_name(name)}_s{seed}"


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name).replace("--", "-")


async def fit_all(study: Study, workers: int, told: Callable[[str], None]) -> tuple[Fitted, dict[str, float]]:
    """Fit and score every variant.

    Parameters
    ----------
    study
        What to fit.
    workers
        Processes at once; each is held to one thread.
    told
        Called with a line for each command that ended.

    Returns
    -------
    The artifacts, and the seconds that each fit took by `slug`.

    Raises
    ------
    StudyError
        If a command fails; the message holds its last line, and the rest is not started.
    """
    places = asyncio.Semaphore(workers)
    seconds: dict[str, float] = {}
    started: dict[tuple[str, int], asyncio.Task[Path]] = {}

    async def fit(variant: Variant, seed: int) -> Path:
        parent: Path | None = None
        if variant.role in ("distilled", "compressed"):
            parent = await started[(TEACHER.name, seed)]
        student = await started[(STUDENT.name, seed)] if variant.role == "compressed" else None
        name = slug(variant.name, seed)
        async with places:
            began = time.monotonic()
            lines = await _command(study, name, _arguments(study, variant, seed, parent, student))
            seconds[name] = time.monotonic() - began
            told(f"{variant.name}, seed {seed}: fitted in {seconds[name]:.0f} s")
            folder = Path(lines[-1])
            scores = study.out / "scores" / f"{name}.parquet"
            score = ["score", "--model", str(folder), *study.panel_arguments(), "--out", str(scores)]
            await _command(study, f"{name}.score", score)
        return folder

    try:
        async with asyncio.TaskGroup() as group:
            for variant, seed in study.variants():
                started[variant.name, seed] = group.create_task(fit(variant, seed))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return {key: task.result() for key, task in started.items()}, seconds


def _arguments(
    study: Study, variant: Variant, seed: int, parent: Path | None, student: Path | None
) -> list[str]:
    shared = [*study.panel_arguments(), *study.split_arguments(), "--seed", str(seed)]
    shared += ["--out", str(study.out / "models")]
    if variant.role == COMPRESSED.role:
        budget = ["--budget-bytes", str(study.budget_bytes)]
        return ["compress", "--student", str(student), "--teacher", str(parent), *budget, *shared]
    settings = _settings_file(study, variant)
    if variant.role == STUDENT.role:
        recipe = [] if study.recipe is None else ["--recipe", study.recipe]
        return ["distill", "--teacher", str(parent), *recipe, *settings, *shared]
    return ["train", variant.role, *settings, *shared]


def _settings_file(study: Study, variant: Variant) -> list[str]:
    tables = {"model": variant.model, "train": variant.train}
    if not any(tables.values()):
        return []
    lines = []
    for table, values in tables.items():
        lines.append(f"[{table}]")
        lines += [f"{name} = {_toml(value)}" for name, value in values.items()]
    text = "\n".join(lines) + "\n"
    path = study.out / "settings" / f"{_file_name(variant.name)}.toml"
    # Every seed writes it, and another seed's process may be reading it.
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return ["--config", str(path)]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).replace("'", '"')


async def _command(study: Study, name: str, arguments: list[str]) -> list[str]:
    log = study.out / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    with log.open("wb") as errors:
        errors.write(f"cs3g {' '.join(arguments)}\n".encode())
        errors.flush()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cs3g",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=environment,
        )
        try:
            out, _ = await process.communicate()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise
    lines = out.decode().splitlines()
    if process.returncode:
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-1]
        raise StudyError(f"`cs3g {' '.join(arguments)}` failed, see {log}: {last}")
    return lines
