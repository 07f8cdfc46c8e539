"""`cs3g evaluate`: judge score files on a panel, and compare them with those of other models."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from cs3g_model.evaluation.panel import Horizon

_SEPARATOR = "\x1f"  # joins the values of one --vs on their way through the parser; no file name holds it


class EvaluateCommand(TyperCommand):
    """A command whose --vs takes every value up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join the values of each --vs, then parse."""
        joined: list[str] = []
        rest = list(args)
        while rest:
            joined.append(rest.pop(0))
            if joined[-1] == "--vs":
                values = []
                while rest and not rest[0].startswith("-"):
                    values.append(rest.pop(0))
                joined += [_SEPARATOR.join(values)] if values else []
        return super().parse_args(ctx, joined)


def evaluate(
    predictions: Annotated[
        list[Path],
        typer.Argument(
            metavar="PRED...",
            help="Tables of (date or ts_close, symbol, score); several are a model's seeds.",
        ),
    ],
    data: Annotated[
        str,
        typer.Option(help="Tidy panel: date or ts_event (start), symbol, close, volume[, adjusted_close]."),
    ],
    vs: Annotated[
        list[str] | None,
        typer.Option(
            help="Files of another model, one a seed, up to the next option; again for a third model."
        ),
    ] = None,
    part: Annotated[
        Literal["train", "valid", "test"],
        typer.Option(help="Part to judge of those that the ends make."),
    ] = "test",
    train_end: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day of the training part, UTC.")
    ] = None,
    valid_end: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day of the validation part.")
    ] = None,
    test_start: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="First day of the test part; by default after --valid-end."),
    ] = None,
    test_end: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day of the test part.")
    ] = None,
    first_day: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, instead of parts.")
    ] = None,
    last_day: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, instead of parts.")
    ] = None,
    horizon: Annotated[
        Literal["1", "5", "101"],
        typer.Option(help="1: close to next close; 5: to the fifth; 101: the next window's, one late."),
    ] = "1",
    relations: Annotated[
        Path | None,
        typer.Option(
            help="Table of symbol, sector, or of symbol_a, symbol_b: adds the rank IC within sectors."
        ),
    ] = None,
    history: Annotated[
        int, typer.Option(min=1, help="Windows without a gap that an instrument needs before it is scored.")
    ] = 16,
    price_limit: Annotated[
        float | None,
        typer.Option(min=0.0, help="Books cannot trade at a close that moved this far, such as 0.098."),
    ] = None,
    min_names: Annotated[
        int | None,
        typer.Option(
            min=2, help="Fewest instruments of a window; 100, or half of the median where that is fewer."
        ),
    ] = None,
    annual_windows: Annotated[
        float | None, typer.Option(min=1.0, help="Windows a year; by default told from the panel's days.")
    ] = None,
    window: Annotated[
        str | None, typer.Option(help="Length of a window, such as 5m, to make of shorter bars or of ticks.")
    ] = None,
    margin: Annotated[float, typer.Option(help="Of equivalence, in mean rank IC.")] = 0.005,
    block: Annotated[float, typer.Option(min=1.0, help="Mean block of the bootstrap, in windows.")] = 10.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write every number and the daily series; - for stdout.")
    ] = None,
) -> None:
    """Judge scores: IC, rank IC, direction, books net of costs, with bootstrap limits and comparisons.

    Example: cs3g evaluate student_s0.parquet student_s1.parquet --data panel.parquet --from 2019-01-01
    --to 2021-04-30 --vs teacher_s0.parquet teacher_s1.parquet --json report.json
    """
    from cs3g.evaluation_files import panel_groups, read_panel, read_scores
    from cs3g.evaluation_tables import print_report
    from cs3g.files import json_text, write_json
    from cs3g_model.evaluation.panel import cross_sections
    from cs3g_model.evaluation.report import Settings
    from cs3g_model.evaluation.report import evaluate as judge

    paths = [predictions, *([Path(path) for path in text.split(_SEPARATOR)] for text in vs or [])]
    names = _names(paths)
    start_ns, stop_ns = _bounds(part, train_end, valid_end, (test_start, test_end), (first_day, last_day))
    panel = read_panel(data, window)
    sections = cross_sections(
        panel,
        start_ns=start_ns,
        stop_ns=stop_ns,
        horizon=cast("Horizon", int(horizon)),
        history=history,
        price_limit=price_limit,
        min_names=min_names,
        annual_windows=annual_windows,
    )
    files = [[read_scores(path, panel) for path in of_model] for of_model in paths]
    report = judge(
        [(name, [one.scores for one in found]) for name, found in zip(names, files, strict=True)],
        sections,
        Settings(margin=margin, block=block),
        None if relations is None else panel_groups(relations, panel),
    )
    report["panel"] = {
        "file": data,
        "bar_ns": panel.bar_ns,
        "first_ns": int(sections.starts_ns[0]),
        "last_ns": int(sections.starts_ns[-1]),
        "starts_ns": sections.starts_ns.tolist(),
        "names_a_window": float(sections.scored.sum(axis=1).mean()),
        "min_names": sections.min_names,
        "history": history,
        "windows_a_year": sections.windows_a_year,
        "horizon": sections.horizon,
        "price_limit": price_limit,
    }
    report["files"] = [
        {
            "model": name,
            "file": str(path),
            "rows": one.rows,
            "outside_panel": one.outside,
            "not_finite": one.missing,
        }
        for name, of_model, found in zip(names, paths, files, strict=True)
        for path, one in zip(of_model, found, strict=True)
    ]
    if json_file is not None and str(json_file) == "-":
        typer.echo(json_text(report), nl=False)
        return
    print_report(report)
    if json_file is not None:
        write_json(json_file, report)


def _names(paths: list[list[Path]]) -> list[str]:
    """Name each model after what its files' names have in common, or after its first file's path."""
    found = []
    for of_model in paths:
        stems = [path.stem for path in of_model]
        shared = 0
        for letters in zip(*stems, strict=False):
            if len(set(letters)) > 1:
                break
            shared += 1
        prefix = stems[0] if len(stems) == 1 else re.sub(r"[-_.]*(seed|s)?[-_.]*\d*$", "", stems[0][:shared])
        found.append(prefix or stems[0])
    if len(set(found)) == len(found):
        return found
    longer = [str(of_model[0]) for of_model in paths]
    return longer if len(set(longer)) == len(longer) else [f"{i}: {name}" for i, name in enumerate(longer)]


def _bounds(
    part: str,
    train_end: datetime | None,
    valid_end: datetime | None,
    test: tuple[datetime | None, datetime | None],
    days: tuple[datetime | None, datetime | None],
) -> tuple[int | None, int | None]:
    """Return the ns at which the part starts and before which it stops; None for no bound.

    Raises
    ------
    typer.BadParameter
        If the dates contradict each other, or do not make the part.
    """
    ends = (train_end, valid_end, *test)
    if any(days) and any(ends):
        raise typer.BadParameter("give --from and --to, or the ends of parts, not both")
    if any(days):
        first, last = days
    elif part == "train":
        first, last = None, train_end
        if last is None:
            raise typer.BadParameter("--part train needs --train-end")
    elif part == "valid":
        if train_end is None or valid_end is None:
            raise typer.BadParameter("--part valid needs --train-end and --valid-end")
        first, last = train_end + timedelta(days=1), valid_end
    else:
        first, last = test
        if first is None and valid_end is not None:
            first = valid_end + timedelta(days=1)
        if first is None and train_end is not None:
            raise typer.BadParameter("the test part needs --valid-end or --test-start")
    if first is not None and last is not None and last < first:
        raise typer.BadParameter(f"the part ends on {last.date()}, before it starts on {first.date()}")
    after = None if last is None else last + timedelta(days=1)
    return (None if first is None else _ns(first)), (None if after is None else _ns(after))


def _ns(day: datetime) -> int:
    return (day - datetime(1970, 1, 1)) // timedelta(microseconds=1) * 1000
