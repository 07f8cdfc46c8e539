"""`cs3g models`: which models there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="List models.")


@app.callback()
def _group() -> None:
    """List models."""


@app.command("list")
def list_models(
    folder: Annotated[
        Path | None, typer.Option(help="A folder of artifacts; the shipped ones by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the full manifests as JSON.")] = False,
) -> None:
    """List models with their size and metrics.

    Example: cs3g models list --json
    """
    import msgspec
    from rich.console import Console
    from rich.table import Table

    from cs3g_model.artifacts import SHIPPED, list_artifacts
    from cs3g_model.errors import ArtifactNotFoundError

    if folder is not None and not folder.is_dir():
        raise ArtifactNotFoundError(f"{folder} is no folder of artifacts")
    manifests = [manifest for _, manifest in list_artifacts(folder or SHIPPED)]
    if as_json:
        rows = [
            {
                "id": m.model_id,
                "role": m.role,
                "bytes": m.weights_bytes,
                "params": m.parameters,
                **msgspec.to_builtins(m),
            }
            for m in manifests
        ]
        typer.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return
    table = Table("id", "role", "bytes", "params", "valid rank IC", "test rank IC", box=None)
    for m in manifests:
        table.add_row(
            m.model_id,
            m.role,
            f"{m.weights_bytes:,}",
            f"{m.parameters:,}",
            *(_metric(m.metrics.get(name)) for name in ("valid_rank_ic", "test_rank_ic")),
        )
    Console().print(table)


def _metric(value: object) -> str:
    if isinstance(value, dict):
        return f"{value['mean']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"
    return "-" if value is None else f"{value:.4f}"
