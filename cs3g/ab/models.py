"""The models of a comparison: found by name, each once, and called what a reader recognizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cs3g.errors import ComparisonError
from cs3g_model.artifacts import Artifact, load_artifact, resolve_artifact
from cs3g_model.errors import ArtifactNotFoundError
from cs3g_model.manifest import Manifest
from pipeline.config import load_config
from pipeline.registry import Registry, RegistryNotFoundError

__all__ = ["Contender", "load_contenders"]

_ROLES = ("teacher", "student")


@dataclass(frozen=True, slots=True)
class Contender:
    """One model of a comparison.

    Attributes
    ----------
    name
        In the report: its role, where that is what was asked for, else role and leading digits of its id.
    artifact
        Verified.
    """

    name: str
    artifact: Artifact

    @property
    def manifest(self) -> Manifest:
        """What the model is."""
        return self.artifact.manifest


def load_contenders(names: Sequence[str], registry: str | None = None) -> list[Contender]:
    """Load two models or more.

    Parameters
    ----------
    names
        "teacher" or "student" for the shipped ones, ids or their leading digits, or folders.
    registry
        Folder or address where ids are looked for that are not shipped; None for the configured one.

    Raises
    ------
    ArtifactError
        If there is no such model, or it cannot be used.
    RegistryError
        If the registry's copy is damaged.
    ComparisonError
        If there are fewer than two, or one is given twice.
    """
    if len(names) < 2:
        raise ComparisonError(f"a comparison takes two models, got {len(names)}: name another with --model")
    found: list[Contender] = []
    seen: dict[str, str] = {}
    for asked in names:
        artifact = load_artifact(_find(asked, registry))
        manifest = artifact.manifest
        if manifest.model_id in seen:
            raise ComparisonError(
                f"{asked!r} and {seen[manifest.model_id]!r} are the same model, {manifest.model_id}: "
                "compare it with another"
            )
        seen[manifest.model_id] = asked
        name = asked if asked in _ROLES else f"{manifest.role} {manifest.model_id[:8]}"
        found.append(Contender(name, artifact))
    return found


def _find(asked: str, registry: str | None) -> Path:
    try:
        return resolve_artifact(asked)
    except ArtifactNotFoundError:
        if "/" in asked:  # a folder, which no registry has
            raise
        models = Registry(registry or load_config().registry_url)
        try:
            return models.get(models.resolve(asked))
        except RegistryNotFoundError as error:
            raise ArtifactNotFoundError(
                f"no model is called {asked!r}, neither shipped nor in the registry {models.url}: give a folder, "
                "or an id of `cs3g models list`"
            ) from error
