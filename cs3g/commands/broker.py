"""`cs3g broker`: the embedded broker in the background, for demo, tests and development."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Run the embedded broker in the background: for demo, tests and development, not for production.",
    no_args_is_help=True,
)

DataDir = Annotated[Path, typer.Option(help="Where the broker keeps its data and state.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

_DEFAULT_DATA_DIR = Path(".cs3g/broker")


@app.command()
def start(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any free one.")] = 9092,
    host: Annotated[str, typer.Option(help="Address to bind.")] = "127.0.0.1",
    data_dir: DataDir = _DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Start a broker and return once it answers; stop it with `cs3g broker stop`.

    Example: cs3g broker start --port 9092
    """
    from topics.daemon import start_daemon
    from topics.embedded import NOTICE

    state = start_daemon(data_dir, host=host, port=port)
    if as_json:
        typer.echo(
            json.dumps({"bootstrap_servers": state.bootstrap, "pid": state.pid, "data_dir": state.data_dir})
        )
    else:
        typer.echo(NOTICE)
        typer.echo(f"running at {state.bootstrap}, process {state.pid}, data in {state.data_dir}")
        typer.echo(f"export CS3G_BOOTSTRAP_SERVERS={state.bootstrap}")


@app.command()
def stop(data_dir: DataDir = _DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Stop the broker that `cs3g broker start` started; its data is kept.

    Example: cs3g broker stop
    """
    from topics.daemon import stop_daemon

    state = stop_daemon(data_dir)
    if as_json:
        typer.echo(json.dumps({"stopped": state is not None, "pid": None if state is None else state.pid}))
    elif state is None:
        typer.echo(f"no broker runs on {data_dir}")
    else:
        typer.echo(f"stopped the broker at {state.bootstrap}; its data stays in {state.data_dir}")


@app.command()
def status(data_dir: DataDir = _DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Say whether the broker runs and answers; exit status 1 if not.

    Example: cs3g broker status --json
    """
    from topics.daemon import read_daemon
    from topics.embedded_process import answers

    state = read_daemon(data_dir)
    healthy = state is not None and answers(state.host, state.port)
    if as_json:
        found = None if state is None else {"bootstrap_servers": state.bootstrap, "pid": state.pid}
        typer.echo(json.dumps({"running": state is not None, "answers": healthy, **(found or {})}))
    elif state is None:
        typer.echo(f"no broker runs on {data_dir}")
    else:
        condition = "answers" if healthy else "does not answer"
        typer.echo(f"the broker at {state.bootstrap}, process {state.pid}, {condition}")
    if not healthy:
        raise typer.Exit(1)
