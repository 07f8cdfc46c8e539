"""`cs3g ingest`: coalesce one-tick JSON messages of a topic into runs on the tick topic."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def ingest(
    source: Annotated[str, typer.Argument(help="Topic of one-tick JSON messages.")],
    bootstrap_servers: Annotated[
        str, typer.Option(envvar="CS3G_BOOTSTRAP_SERVERS", help="Kafka brokers, host:port[,host:port].")
    ] = "127.0.0.1:9092",
    topic_prefix: Annotated[
        str, typer.Option(envvar="CS3G_TOPIC_PREFIX", help="Prefix of the tick topic.")
    ] = "",
    batch_ticks: Annotated[int, typer.Option(min=1, max=100_000, help="Most ticks a message.")] = 1000,
    linger_ms: Annotated[
        float, typer.Option(min=0, help="How long messages gather before they are read.")
    ] = 5.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many source messages.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON at the end.")] = False,
) -> None:
    """Coalesce one-tick JSON messages into runs on the tick topic.

    It runs until stopped (SIGTERM, Ctrl-C); started again, it goes on without a tick lost or doubled.
    One bridge at a time may feed a tick topic, and nobody else. Key the source by instrument.

    Example: cs3g ingest ticks.json --bootstrap-servers 127.0.0.1:9092
    """
    import asyncio

    from topics.bridge import Bridge

    bridge = Bridge(
        bootstrap_servers, source, prefix=topic_prefix, batch_ticks=batch_ticks, linger_s=linger_ms / 1000
    )
    counts = asyncio.run(bridge.run(until=lambda counts: limit is not None and counts.read >= limit))
    found = {name: getattr(counts, name) for name in counts.__slots__}
    typer.echo(
        json.dumps(found) if as_json else ", ".join(f"{name} {value:,}" for name, value in found.items())
    )
