"""`cs3g models`: which models there are, where they come from, and which of them serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cs3g.commands import activations

if TYPE_CHECKING:
    from cs3g_model.manifest import Manifest
    from pipeline.registry import Lineage, Registry

app = typer.Typer(no_args_is_help=True, help="List models, keep them in a registry, and choose which serve.")
app.command("activate")(activations.activate)
app.command("rollback")(activations.rollback)
app.command("announce")(activations.announce)


@app.command("list")
def list_models(
    folder: Annotated[
        Path | None,
        typer.Option(help="Only a folder of artifacts; default: the registry and the shipped ones."),
    ] = None,
    registry: activations.Registry = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the full manifests as JSON.")] = False,
) -> None:
    """List models with their size and metrics, and what they serve.

    Example: cs3g models list --json
    """
    import msgspec
    from rich.console import Console
    from rich.table import Table

    from cs3g.tables import print_whole

    unusable: list[Exception] = []
    serves: dict[str, list[str]] = {}
    if folder is not None:
        found = _in_folder(folder, unusable)
    else:
        models = _open(registry)
        entries = models.list(unusable)
        found = [(entry.location, entry.manifest) for entry in entries]
        serves = _serving(models)
    sizes = {m.model_id: m.weights_bytes for _, m in found}
    if as_json:
        rows = [
            {
                **msgspec.to_builtins(m),
                "id": m.model_id,
                "path": path,
                "bytes": m.weights_bytes,
                "params": m.parameters,
                "precision": _precision(m),
                "times_smaller_than_parent": _times(sizes.get(m.parent_id or ""), m.weights_bytes),
                "serves": serves.get(m.model_id, []),
            }
            for path, m in found
        ]
        typer.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
    else:
        table = Table(
            *("id", "role", "weights", "bytes", "params", "parent", "valid rank IC", "test rank IC"),
            *(["serves"] if serves else []),
            box=None,
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
                *([", ".join(serves.get(m.model_id, ["-"]))] if serves else []),
            )
        print_whole(Console(), table)
    if unusable:
        # After the others, so that one model of another release does not hide them.
        more = f" (and {len(unusable) - 1} more)" if len(unusable) > 1 else ""
        raise type(unusable[0])(f"{unusable[0]}{more}")


@app.command("add")
def add(
    folder: Annotated[Path, typer.Argument(help="An artifact: model.safetensors and manifest.json.")],
    registry: activations.Registry = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the id as JSON.")] = False,
) -> None:
    """Put a model into the registry, its hashes checked; adding it again changes nothing.

    Example: cs3g models add out/0123456789abcdef
    """
    import json

    models = _open(registry)
    model_id = models.add(folder)
    typer.echo(json.dumps({"id": model_id, "registry": models.url}) if as_json else model_id)


@app.command("lineage")
def lineage(
    model: Annotated[str, typer.Argument(help="Id of a model, or the first digits of one.")],
    registry: activations.Registry = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the records as JSON, the model's first.")
    ] = False,
) -> None:
    """Show how a model came to be, and its parents as far as they are known.

    Example: cs3g models lineage 068732c2
    """
    import msgspec

    models = _open(registry)
    found = models.ancestry(models.resolve(model))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    for depth, record in enumerate(found):
        typer.echo(f"{'  ' * depth}{_told(record)}")


def _open(url: str | None) -> Registry:
    from pipeline.config import load_config
    from pipeline.registry import Registry

    return Registry(url or load_config().registry_url)


def _in_folder(folder: Path, unusable: list[Exception]) -> list[tuple[str, Manifest]]:
    from cs3g_model.errors import ArtifactError, ArtifactNotFoundError
    from cs3g_model.manifest import MANIFEST_NAME, read_manifest

    if not folder.is_dir():
        raise ArtifactNotFoundError(f"{folder} is no folder of artifacts")
    found = []
    for path in sorted(path.parent for path in folder.glob(f"[!.]*/{MANIFEST_NAME}")):
        try:
            found.append((str(path), read_manifest(path)))
        except ArtifactError as error:
            unusable.append(error)
    return sorted(found, key=lambda item: (item[1].role, item[1].model_id))


def _serving(models: Registry) -> dict[str, list[str]]:
    """Return what each model serves: universe/role, of the activation in force."""
    serves: dict[str, list[str]] = {}
    for universe, role in models.served():
        active = models.active(universe, role)
        if active is not None:
            serves.setdefault(active.model_id, []).append(f"{universe}/{role}")
    return serves


def _told(record: Lineage) -> str:
    parts = [record.model_id]
    if record.parent_id is not None:
        parts.append(f"made from {record.parent_id}")
    for name in ("job_id", "dataset_id", "recipe_id", "data_digest", "incumbent_id", "detail"):
        if value := getattr(record, name):
            parts.append(f"{name.removesuffix('_id').replace('_', ' ')} {value}")
    return ", ".join(parts)


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
