"""The models of a comparison: found by name, each once, and called what a reader recognizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cs3g.errors import ComparisonError
from cs3g_model.artifacts import Artifact, Manifest, load_artifact, resolve_artifact

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


def load_contenders(names: Sequence[str]) -> list[Contender]:
    """Load two models or more.

    Parameters
    ----------
    names
        "teacher" or "student" for the shipped ones, ids or their leading digits, or folders.

    Raises
    ------
    ArtifactError
        If there is no such model, or it cannot be used.
    ComparisonError
        If there are fewer than two, or one is given twice.
    """
    if len(names) < 2:
        raise ComparisonError(f"a comparison takes two models, got {len(names)}: name another with --model")
    found: list[Contender] = []
    seen: dict[str, str] = {}
    for asked in names:
        artifact = load_artifact(resolve_artifact(asked))
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
