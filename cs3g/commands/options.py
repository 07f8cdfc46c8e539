"""Options that several commands share: where the broker is, and whose topics are read."""

from __future__ import annotations

from typing import Annotated, Final

import typer

Bootstrap = Annotated[
    str, typer.Option(envvar="CS3G_BOOTSTRAP_SERVERS", help="Kafka brokers, host:port[,host:port].")
]
Universe = Annotated[str, typer.Option(envvar="CS3G_UNIVERSE", help="Name of the universe.")]
Prefix = Annotated[
    str,
    typer.Option("--topic-prefix", envvar="CS3G_TOPIC_PREFIX", help="e.g. replay.<run_id>. for a replay."),
]

DEFAULT_BOOTSTRAP: Final = "127.0.0.1:9092"
