"""Distill a student for every recipe and seed, and write a table of what each recipe is worth.

Writes OUT/PANEL.json and OUT/PANEL.md; students and finished runs stay in OUT/PANEL/, and the same command goes
on where an earlier one was stopped. Without --test nobody looks at a test label.

Example: python -m benchmarks.ablations --teacher models/dbb51a805c1bba81 --data panel.parquet
--relations sectors.parquet --train-end 2017-12-31 --valid-end 2018-12-31
--recipes plain,hint,attention --seeds 0,1 --out ablations

Several panels: --panels FILE, with tables [[panels]] of name, teacher, data, relations, window, train_end,
valid_end, test_end.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.ablations.runs import Run, run_student, teacher_series
from benchmarks.ablations.settings import Panel, Plan, read_panels
from benchmarks.ablations.table import markdown, summarize
from cs3g.files import write_json, write_whole
from cs3g.fitting import read_settings
from cs3g.recipe_files import recipe_names
from cs3g_model.config import StudentConfig, TrainConfig
from cs3g_model.errors import ConfigError, ModelError
from replay.errors import ReplayError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"  # workers start with it
    command = shlex.join(["python", "-m", "benchmarks.ablations", *(arguments or sys.argv[1:])])
    try:
        panels, plan = _panels(options), _plan(options)
        plan.check()
        with _pool(options.workers) as pool:
            for panel in panels:
                _run_panel(panel, plan, pool, command)
    except (ModelError, ReplayError) as error:
        print(f"ablations: error: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor | None]:
    """Start worker processes; none where one is enough."""
    if workers == 1:
        yield None
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _run_panel(panel: Panel, plan: Plan, pool: ProcessPoolExecutor | None, command: str) -> None:
    teacher_id, told = teacher_series(panel, plan)
    jobs = [(recipe, seed) for recipe in plan.recipes for seed in plan.seeds]
    began, found = time.monotonic(), {}
    for done, run in enumerate(_runs(panel, plan, jobs, pool), start=1):
        found[run.recipe, run.seed] = run
        left_min = (time.monotonic() - began) / done * (len(jobs) - done) / 60
        mean = np.nanmean(run.series["valid_rank_ic"])
        print(
            f"{panel.name}: {done}/{len(jobs)}  {run.recipe}, seed {run.seed}: validation rank IC {mean:.4f}, "
            f"{run.seconds:.0f} s; about {left_min:.0f} min left",
            flush=True,
        )
    parts = ["valid", "test"] if plan.looks_at_test else ["valid"]
    report: dict[str, Any] = {
        "panel": msgspec.to_builtins(panel),
        "teacher_id": teacher_id,
        "seeds": list(plan.seeds),
        "model": msgspec.to_builtins(plan.model),
        "train": msgspec.to_builtins(plan.train),
        "command": command,
        "commit": _commit(),
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}",
        **summarize([found[job] for job in jobs], told, parts),
    }
    write_json(plan.folder / f"{panel.name}.json", report)
    page = plan.folder / f"{panel.name}.md"
    write_whole(page, lambda temporary: temporary.write_text(markdown(report), encoding="utf-8"))
    print(page)


def _runs(
    panel: Panel, plan: Plan, jobs: Sequence[tuple[str, int]], pool: ProcessPoolExecutor | None
) -> Iterator[Run]:
    """Yield the runs as they end."""
    if pool is None:
        for job in jobs:
            yield run_student(panel, plan, *job)
        return
    for future in as_completed([pool.submit(run_student, panel, plan, *job) for job in jobs]):
        yield future.result()


def _commit() -> str:
    run = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return run.stdout.strip() or "unknown"


def _panels(options: argparse.Namespace) -> list[Panel]:
    given = {field.name: getattr(options, field.name) for field in msgspec.structs.fields(Panel)}
    one = {name: value for name, value in given.items() if value is not None}
    if options.panels is not None:
        if set(one) - {"name"}:
            raise ConfigError(f"--panels and --{'/--'.join(sorted(set(one) - {'name'}))} exclude each other")
        return read_panels(options.panels)
    missing = [name for name in ("teacher", "data", "train_end", "valid_end") if name not in one]
    if missing:
        raise ConfigError(f"give --panels, or --{' and --'.join(missing).replace('_', '-')}")
    return [Panel(**({"name": "panel"} | one))]


def _plan(options: argparse.Namespace) -> Plan:
    changes = read_settings(options.config, {"model": StudentConfig, "train": TrainConfig})
    if options.epochs is not None:
        changes["train"]["epochs"] = options.epochs
    return Plan(
        recipes=options.recipes,
        seeds=options.seeds,
        model=msgspec.convert(changes["model"], StudentConfig),
        train=msgspec.convert(changes["train"], TrainConfig),
        looks_at_test=options.test,
        folder=options.out,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--panels", type=Path, help="TOML file of panels, instead of the options of one")
    parser.add_argument("--name", help="of the panel, in the files' names; `panel` without it")
    parser.add_argument("--teacher", help="model id or folder")
    parser.add_argument("--data", help="panel, bars or ticks; or an installed data set")
    parser.add_argument("--relations", help="table of symbol, sector or of related pairs")
    parser.add_argument("--window", help="length of a window, such as 1m")
    parser.add_argument("--history", type=int, help="windows that who counts was there before; 16 without it")
    for name in ("train", "valid", "test"):
        parser.add_argument(f"--{name}-end", type=date.fromisoformat, help="last day, UTC")
    parser.add_argument("--recipes", type=_names, default=("plain",), help="with commas between")
    parser.add_argument("--seeds", type=_seeds, default=(0, 1), help="with commas between")
    parser.add_argument("--epochs", type=int, help="passes over the training windows")
    parser.add_argument("--config", type=Path, help="TOML file with tables [model] and [train]")
    parser.add_argument("--test", action="store_true", help="judge the test part as well")
    parser.add_argument(
        "--workers", type=int, choices=range(1, 257), metavar="N", default=1, help="processes"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder")
    return parser


def _names(text: str) -> tuple[str, ...]:
    """Split names; "all" stands for every shipped recipe, after `plain`."""
    if text == "all":
        return ("plain", *(name for name in recipe_names() if name != "plain"))
    return tuple(name.strip() for name in text.split(","))


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(int(seed) for seed in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
