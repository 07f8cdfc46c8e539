"""`cs3g outcomes`: what became of the predictions, and what the trigger policy decided."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cs3g.commands.options import DEFAULT_BOOTSTRAP, Bootstrap, Prefix, Universe

if TYPE_CHECKING:
    from topics.control import Outcome

app = typer.Typer(help="Look at outcomes and trigger decisions.", no_args_is_help=True)

RoleChoice = Annotated[Literal["student", "teacher", "both"], typer.Option(help="Whose outcomes.")]


@app.command()
def tail(
    bootstrap_servers: Bootstrap = DEFAULT_BOOTSTRAP,
    universe: Universe = "default",
    topic_prefix: Prefix = "",
    role: RoleChoice = "both",
    from_beginning: Annotated[bool, typer.Option(help="Start with the oldest outcome kept.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many outcomes.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an outcome.")] = False,
) -> None:
    """Print outcomes as windows mature.

    Example: cs3g outcomes tail --universe sp500 --from-beginning
    """
    import asyncio

    from topics.outcomes import follow_outcomes
    from topics.specs import is_replay_name

    async def follow() -> None:
        left = limit
        async with follow_outcomes(
            bootstrap_servers,
            universe=universe,
            prefix=topic_prefix,
            from_beginning=from_beginning,
            allow_replay=is_replay_name(topic_prefix),
        ) as outcomes:
            async for outcome in outcomes:
                if role not in ("both", outcome.role):
                    continue
                typer.echo(_line(outcome, as_json))
                if left is not None:
                    left -= 1
                    if left == 0:
                        return

    asyncio.run(follow())


@app.command()
def summary(
    bootstrap_servers: Bootstrap = DEFAULT_BOOTSTRAP,
    universe: Universe = "default",
    topic_prefix: Prefix = "",
    role: RoleChoice = "both",
    as_json: Annotated[bool, typer.Option("--json", help="A JSON array instead of a table.")] = False,
) -> None:
    """Sum up the outcomes that the topic holds, by role and model.

    Example: cs3g outcomes summary --universe sp500
    """
    import asyncio

    from rich.console import Console
    from rich.table import Table

    from cs3g.outcome_tables import summarize
    from cs3g.tables import print_whole
    from topics.outcomes import read_outcomes
    from topics.specs import is_replay_name

    found = asyncio.run(
        read_outcomes(
            bootstrap_servers,
            universe=universe,
            prefix=topic_prefix,
            allow_replay=is_replay_name(topic_prefix),
        )
    )
    rows = summarize(outcome for outcome in found if role in ("both", outcome.role))
    if as_json:
        typer.echo(json.dumps([row.to_row() for row in rows]))
        return
    table = Table("role", "model", "since", "until")
    for name in ("windows", "IC", "rank IC", "95 %", "agreement", "PSI features", "PSI scores"):
        table.add_column(name, justify="right")
    for row in rows:
        interval = "-" if row.rank_ic is None else f"[{row.rank_ic_low:.4f}, {row.rank_ic_high:.4f}]"
        table.add_row(
            row.role,
            row.model_id[:12],
            _time(row.first_ts_close),
            _time(row.last_ts_close),
            f"{row.windows:,}",
            *(_number(value) for value in (row.ic, row.rank_ic)),
            interval,
            *(_number(value, 3) for value in (row.agreement, row.psi_features, row.psi_scores)),
        )
    print_whole(Console(), table)


@app.command()
def decisions(
    bootstrap_servers: Bootstrap = DEFAULT_BOOTSTRAP,
    universe: Universe = "default",
    topic_prefix: Prefix = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a decision.")] = False,
) -> None:
    """Print what the trigger policy decided, and why.

    Example: cs3g outcomes decisions --universe sp500
    """
    import asyncio

    import msgspec

    from topics.outcomes import read_decisions
    from topics.specs import is_replay_name

    found = asyncio.run(
        read_decisions(
            bootstrap_servers,
            universe=universe,
            prefix=topic_prefix,
            allow_replay=is_replay_name(topic_prefix),
        )
    )
    for decision in found:
        if as_json:
            typer.echo(msgspec.json.encode(decision))
        else:
            job = f"  {decision.job_id}" if decision.job_id else ""
            typer.echo(f"{_time(decision.ts_close)}  {decision.action}{job}  {decision.reason}")


def _line(outcome: Outcome, as_json: bool) -> str:
    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(outcome)
    if as_json:
        return json.dumps(fields)
    shown = {name: fields[name] for name in ("rank_ic", "ic", "agreement", "psi_features", "psi_scores")}
    values = "  ".join(f"{name} {_number(value)}" for name, value in shown.items())
    return f"{_time(outcome.ts_close)}  {outcome.role:7}  {outcome.model_id[:12]}  n {outcome.n_instruments}  {values}"


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _time(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
