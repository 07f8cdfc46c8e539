"""`cs3g topics`: create and list the contract's topics, print the contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from topics.admin import TopicState

app = typer.Typer(
    help="Create and list the pipeline's topics, or print their contract.", no_args_is_help=True
)

Bootstrap = Annotated[
    str, typer.Option(help="Kafka brokers, host:port[,host:port].", envvar="CS3G_BOOTSTRAP_SERVERS")
]
Prefix = Annotated[
    str, typer.Option(help="Prefix of all topics, e.g. replay.<run_id>.", envvar="CS3G_TOPIC_PREFIX")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

_DEFAULT_BOOTSTRAP = "127.0.0.1:9092"


@app.command()
def create(
    bootstrap_servers: Bootstrap = _DEFAULT_BOOTSTRAP,
    prefix: Prefix = "",
    partitions: Annotated[
        int, typer.Option(min=1, help="Of the tick topic.", envvar="CS3G_TICK_PARTITIONS")
    ] = 4,
    replication_factor: Annotated[int, typer.Option(min=1, help="Copies of each partition.")] = 1,
    embedded: Annotated[
        bool, typer.Option(help="Bound what a partition keeps, as the embedded broker needs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create the topics that are missing and check the others; run it as often as you like.

    Example: cs3g topics create --bootstrap-servers 127.0.0.1:9092 --partitions 4
    """
    import asyncio

    from topics.admin import create_topics

    states = asyncio.run(
        create_topics(
            bootstrap_servers,
            prefix=prefix,
            partitions=partitions,
            embedded=embedded,
            replication_factor=replication_factor,
        )
    )
    _print_states(states, as_json)


@app.command("list")
def list_(
    bootstrap_servers: Bootstrap = _DEFAULT_BOOTSTRAP, prefix: Prefix = "", as_json: AsJson = False
) -> None:
    """List the broker's topics whose name starts with the prefix.

    Example: cs3g topics list --prefix replay.
    """
    import asyncio

    from topics.admin import list_topics

    _print_states(asyncio.run(list_topics(bootstrap_servers, prefix=prefix)), as_json)


@app.command()
def asyncapi(
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")] = None,
) -> None:
    """Print the contract as an AsyncAPI 3.0 document in JSON.

    Example: cs3g topics asyncapi --out asyncapi.json
    """
    from importlib.metadata import version

    from cs3g.files import write_whole
    from topics.asyncapi import asyncapi_document

    text = json.dumps(asyncapi_document(version("cs3g")), indent=2) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_whole(out, lambda partial: partial.write_text(text, encoding="utf-8"))


def _print_states(states: list[TopicState], as_json: bool) -> None:
    if as_json:
        rows = [{"name": s.name, "partitions": s.partitions, "created": s.created} for s in states]
        typer.echo(json.dumps(rows, indent=2))
        return
    for state in states:
        noun = "partition" if state.partitions == 1 else "partitions"
        typer.echo(f"{state.name:60} {state.partitions:4} {noun}{'  created' if state.created else ''}")
