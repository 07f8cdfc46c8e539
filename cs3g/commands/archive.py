"""`cs3g archive`: topics into a folder of Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from replay.archive.record import Recorded


def archive(
    out: Annotated[Path, typer.Option(help="Folder of the archive: a new one, or one to go on with.")],
    bootstrap_servers: Annotated[
        str, typer.Option(envvar="CS3G_BOOTSTRAP_SERVERS", help="Kafka brokers, host:port[,host:port].")
    ] = "127.0.0.1:9092",
    topic_prefix: Annotated[
        str, typer.Option(envvar="CS3G_TOPIC_PREFIX", help="e.g. replay.<run_id>. for a replay.")
    ] = "",
    topics: Annotated[
        str | None,
        typer.Option(
            help="With commas between: instruments, ticks, windows, graphs, predictions, outcomes, models, ..."
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on at the topics' ends until stopped.")
    ] = False,
    start: Annotated[
        str | None, typer.Option("--from", help="First event time: 2013-10-07, or ns; whole messages.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Event time to stop before.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write topics to a folder of Parquet files by date, which `cs3g replay` and training read back.

    A second run goes on where the first one ended, or was killed: the archive holds the offsets.

    Example: cs3g archive --topic-prefix replay.morning. --topics ticks,graphs,predictions --out morning
    """
    import asyncio
    import json
    from dataclasses import asdict

    from rich.console import Console

    from cs3g.stopping import stop_event
    from pipeline.archive_manifest import read_manifest
    from replay.archive.progress import RecordProgress
    from replay.archive.record import RecordConfig, record_topics
    from replay.options import parse_time

    names = None if topics is None else [name.strip() for name in topics.split(",") if name.strip()]
    config = RecordConfig(
        prefix=topic_prefix,
        topics=names,
        follow=follow,
        start_ns=None if start is None else parse_time(start),
        end_ns=None if end is None else parse_time(end),
    )

    async def run() -> Recorded:
        stop = stop_event()
        with RecordProgress(Console(stderr=True)) as progress:
            return await record_topics(bootstrap_servers, out, config, on_progress=progress.update, stop=stop)

    found = asyncio.run(run())
    manifest = read_manifest(out)
    if as_json:
        values = asdict(found) | {"parts": len(manifest.parts), "digest": manifest.digest}
        typer.echo(json.dumps(values, indent=2, sort_keys=True))
    else:
        unreadable = f", {found.unreadable:,} of them unreadable" if found.unreadable else ""
        typer.echo(f"{found.messages:,} messages ({found.rows:,} rows{unreadable}) added to {out}")
        typer.echo(f"{len(manifest.parts):,} parts, digest {manifest.digest}")
    if found.left and not follow:
        raise typer.Exit(130)
