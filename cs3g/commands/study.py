"""`cs3g study`: a panel from raw file to report."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from cs3g.fit_options import HistoryWindows


def study(
    data: Annotated[str, typer.Option(help="A panel or tick file, or the name of an installed data set.")],
    train_end: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day to fit, UTC.")],
    valid_end: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day to choose by, UTC.")],
    test_end: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day of the report, UTC.")],
    out: Annotated[Path, typer.Option(help="Folder of models, scores, logs and the report.")],
    relations: Annotated[
        Path | None, typer.Option(help="Table of symbol, sector, or of symbol_a, symbol_b, relation.")
    ] = None,
    window: Annotated[
        str | None, typer.Option(help="Length of a window, such as 1s; the bars' own by default.")
    ] = None,
    history_windows: HistoryWindows = 16,
    seeds: Annotated[int, typer.Option(min=1, help="Teachers, each with its student.")] = 1,
    control_seeds: Annotated[int, typer.Option(min=1, help="Fits of each control.")] = 1,
    recipe: Annotated[str | None, typer.Option(help="Of the distillation, as in `cs3g distill`.")] = None,
    budget_bytes: Annotated[
        int, typer.Option(min=0, help="Of the compressed student's weights; 0 for no compressed student.")
    ] = 4096,
    ablations: Annotated[bool, typer.Option(help="Switch off the teacher's parts one by one, too.")] = False,
    price_limit: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="The report's books cannot trade at a close that moved this far, such as 0.098."
        ),
    ] = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option(help="More score files to judge, as NAME=FILE[,FILE...], one file a seed; repeatable."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Fits at once, one thread each.")] = 2,
) -> None:
    """Fit teacher, student, compressed student and controls, and judge them on days that none of them saw.

    --data is a table of date, symbol, close and, where there are some, open, high, low, volume, adjusted_close: one
    row an instrument and day, none for days on which it was not traded. Any market, calendar and currency.

    Example: cs3g study --data panel.parquet --relations sectors.parquet --train-end 2017-12-31
    --valid-end 2018-12-31 --test-end 2021-04-30 --seeds 2 --out study
    """
    import asyncio

    import numpy as np
    from rich.console import Console

    from cs3g.files import write_json, write_whole
    from cs3g.panel_data import PanelFile, parse_window
    from cs3g.study.fits import fit_all
    from cs3g.study.plan import Study
    from cs3g.study.report import judge_study, read_yardstick
    from cs3g.study.table import markdown
    from cs3g.study.timing import step_times_ms
    from cs3g.universe import warn_if_thin

    plan = Study(
        data=data,
        train_end=train_end.date().isoformat(),
        valid_end=valid_end.date().isoformat(),
        test_end=test_end.date().isoformat(),
        out=out,
        relations=relations,
        window=window,
        history=history_windows,
        seeds=tuple(range(seeds)),
        control_seeds=tuple(range(control_seeds)),
        recipe=recipe,
        budget_bytes=budget_bytes,
        ablations=ablations,
        price_limit=price_limit,
    )
    yardstick = read_yardstick(plan, _anchors(anchor or []))
    panel = yardstick.panel
    warning = warn_if_thin(np.isfinite(panel.prices), panel.known(plan.history), plan.history)
    console = Console(stderr=True)
    fitted, seconds = asyncio.run(fit_all(plan, workers, console.print))
    report = judge_study(plan, fitted, yardstick)
    firsts = {name: folder for (name, seed), folder in fitted.items() if seed == 0}
    report["step_ms"] = step_times_ms(PanelFile(data, relations, parse_window(window)), firsts)
    report["warning"] = warning
    report["fit_seconds"] = seconds
    report["split"] = {"train_end": plan.train_end, "valid_end": plan.valid_end, "test_end": plan.test_end}
    write_json(out / "report.json", report)  # first: the fits took long, and a table is made again in no time
    text = markdown(report)
    write_whole(out / "report.md", lambda temporary: temporary.write_text(text, encoding="utf-8"))
    typer.echo(text)
    typer.echo(f"written to {out}: report.json, report.md, models, scores, logs")


def _anchors(texts: list[str]) -> dict[str, list[Path]]:
    anchors = {}
    for text in texts:
        name, _, files = text.partition("=")
        if not name or not files:
            raise typer.BadParameter(f"{text!r} must be NAME=FILE[,FILE...]", param_hint="--anchor")
        anchors[name] = [Path(file) for file in files.split(",")]
    return anchors
