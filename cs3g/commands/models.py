"""`cs3g models`: which models there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cs3g_model.artifacts import Manifest

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

    from cs3g.tables import print_whole
    from cs3g_model.artifacts import MANIFEST_NAME, SHIPPED, read_manifest
    from cs3g_model.errors import ArtifactError, ArtifactNotFoundError

    if folder is not None and not folder.is_dir():
        raise ArtifactNotFoundError(f"{folder} is no folder of artifacts")
    found: list[tuple[Path, Manifest]] = []
    unusable: list[ArtifactError] = []
    for path in sorted(path.parent for path in (folder or SHIPPED).glob(f"[!.]*/{MANIFEST_NAME}")):
        try:
            found.append((path, read_manifest(path)))
        except ArtifactError as error:
            unusable.append(error)
    found.sort(key=lambda item: (item[1].role, item[1].model_id))
    sizes = {m.model_id: m.weights_bytes for _, m in found}
    if as_json:
        rows = [
            {
                **msgspec.to_builtins(m),
                "id": m.model_id,
                "path": str(path),
                "bytes": m.weights_bytes,
                "params": m.parameters,
                "precision": _precision(m),
                "times_smaller_than_parent": _times(sizes.get(m.parent_id or ""), m.weights_bytes),
            }
            for path, m in found
        ]
        typer.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
    else:
        table = Table(
            *("id", "role", "weights", "bytes", "params", "parent", "valid rank IC", "test rank IC"), box=None
        )
        for _, m in found:
            table.add_row(
                m.model_id,
                m.role,
                _precision(m),
                f"{m.weights_bytes:,}",
                f"{m.parameters:,}",
                m.parent_id or "-",
                *(_metric(m.metrics.get(name)) for name in ("valid_rank_ic", "test_rank_ic")),
            )
        print_whole(Console(), table)
    if unusable:
        # After the others, so that one model of another release does not hide them.
        more = f" (and {len(unusable) - 1} more)" if len(unusable) > 1 else ""
        raise type(unusable[0])(f"{unusable[0]}{more}")


def _precision(manifest: Manifest) -> str:
    """Return what the weights are stored as: float32, or the bits of the groups of tensors."""
    if manifest.quantization is None:
        return "float32"
    return f"{'/'.join(str(bits) for bits in sorted(set(manifest.quantization.groups.values())))} bits"


def _times(parent_bytes: int | None, own_bytes: int) -> float | None:
    return None if parent_bytes is None else parent_bytes / own_bytes


def _metric(value: object) -> str:
    if isinstance(value, dict):
        return f"{value['mean']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"
    return "-" if value is None else f"{value:.4f}"
