"""`cs3g models activate|rollback|announce`: which model serves a universe in a role."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.registry import Activation

Registry = Annotated[
    str | None,
    typer.Option(
        "--registry", help="Folder or url (s3://bucket/prefix); default: cs3g/registry in the user's data."
    ),
]
Universe = Annotated[str | None, typer.Option(help="Name of the universe.")]
RoleOption = Annotated[
    Literal["student", "teacher"] | None, typer.Option(help="Role to serve in; default: the model's own.")
]
Serving = Annotated[Literal["student", "teacher"], typer.Option(help="Role that is served.")]
Since = Annotated[
    str | None,
    typer.Option(help="Serve windows that end after this time, ISO 8601 in UTC or ns; default: from now on."),
]
Expected = Annotated[
    int | None,
    typer.Option("--expected", min=0, help="Number of the activation that must be in force; 0 for none."),
]
Detail = Annotated[str, typer.Option(help="A note that is kept with it.")]
Bootstrap = Annotated[
    str | None,
    typer.Option(help="Kafka brokers to announce it to; default: the configured ones, if they answer."),
]
Prefix = Annotated[str | None, typer.Option(help="Prefix of all topics, e.g. replay.<run_id>.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the activation as JSON.")]


def activate(
    model: Annotated[str, typer.Argument(help="Id of a model, or the first digits of one.")],
    role: RoleOption = None,
    universe: Universe = None,
    since: Since = None,
    expected: Expected = None,
    detail: Detail = "",
    registry: Registry = None,
    bootstrap_servers: Bootstrap = None,
    topic_prefix: Prefix = None,
    as_json: AsJson = False,
) -> None:
    """Let a model serve, and tell the workers. They change at a window's end and miss none.

    Example: cs3g models activate 068732c2 --universe default --since 2026-01-31T21:00Z
    """
    from cs3g_model.manifest import read_manifest
    from pipeline.registry import Registry as Models

    config = _config(registry, universe, bootstrap_servers, topic_prefix)
    models = Models(config.registry_url)
    model_id = models.resolve(model)
    chosen = role or read_manifest(models.get(model_id)).role
    activation = models.activate(
        config.universe,
        chosen,
        model_id,
        since_ts_close=_time(since),
        expected_seq=expected,
        detail=detail,
        any_role=config.any_role,
    )
    _tell(config, activation, required=bootstrap_servers is not None, as_json=as_json)


def rollback(
    role: Serving = "student",
    universe: Universe = None,
    since: Since = None,
    expected: Expected = None,
    detail: Detail = "",
    registry: Registry = None,
    bootstrap_servers: Bootstrap = None,
    topic_prefix: Prefix = None,
    as_json: AsJson = False,
) -> None:
    """Let the model serve again that did before; repeated, it goes further back.

    Example: cs3g models rollback --role student
    """
    from pipeline.registry import Registry as Models

    config = _config(registry, universe, bootstrap_servers, topic_prefix)
    activation = Models(config.registry_url).rollback(
        config.universe, role, since_ts_close=_time(since), expected_seq=expected, detail=detail
    )
    _tell(config, activation, required=bootstrap_servers is not None, as_json=as_json)


def announce(
    role: Serving = "student",
    universe: Universe = None,
    registry: Registry = None,
    bootstrap_servers: Bootstrap = None,
    topic_prefix: Prefix = None,
    as_json: AsJson = False,
) -> None:
    """Tell the workers once more which model serves; those that know it already do nothing.

    Example: cs3g models announce --bootstrap-servers 127.0.0.1:9092
    """
    from pipeline.registry import Registry as Models
    from pipeline.registry import RegistryNotFoundError

    config = _config(registry, universe, bootstrap_servers, topic_prefix)
    active = Models(config.registry_url).active(config.universe, role)
    if active is None:
        raise RegistryNotFoundError(
            f"nothing was activated for {config.universe}/{role} in {config.registry_url}:"
            " see `cs3g models activate`"
        )
    _tell(config, active, required=True, as_json=as_json)


def _config(
    registry: str | None, universe: str | None, bootstrap_servers: str | None, topic_prefix: str | None
) -> PipelineConfig:
    from pipeline.config import load_config
    from topics.specs import is_replay_name

    # A prefix tells the mode, which then need not be said as well.
    mode = None if topic_prefix is None else "replay" if is_replay_name(topic_prefix) else "live"
    return load_config(
        registry=None if registry is None else _absolute(registry),
        universe=universe,
        bootstrap_servers=bootstrap_servers,
        topic_prefix=topic_prefix,
        mode=mode,
    )


def _absolute(registry: str) -> str:
    return registry if "://" in registry else str(Path(registry).absolute())


def _time(text: str | None) -> int:
    from replay.options import parse_time

    return 0 if text is None else parse_time(text)


def _tell(config: PipelineConfig, activation: Activation, *, required: bool, as_json: bool) -> None:
    """Print an activation, and announce it: also where nobody asked for it, if the brokers answer."""
    import asyncio

    import msgspec

    from cs3g.announcing import announce as send
    from topics.errors import BrokerError

    not_announced: BrokerError | None = None
    try:
        asyncio.run(send(config, activation))
    except BrokerError as error:
        not_announced = error
    if as_json:
        shown = {**msgspec.to_builtins(activation), "announced": not_announced is None}
        typer.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())
    else:
        since = (
            f" from windows that end after {activation.since_ts_close}" if activation.since_ts_close else ""
        )
        told = "announced" if not_announced is None else "not announced"
        typer.echo(
            f"activation {activation.seq}: {activation.model_id} serves"
            f" {activation.universe}/{activation.role}{since} ({told})"
        )
    if not_announced is not None:
        if required:
            raise type(not_announced)(
                f"activation {activation.seq} stands but was not announced: {not_announced}"
                " (then: cs3g models announce)"
            )
        typer.echo(f"not announced: {not_announced} (then: cs3g models announce)", err=True)
