"""Which models there are: those of one registry and those that came with the package."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Final

from cs3g_model.artifacts import SHIPPED, list_artifacts
from pipeline.registry.artifacts import Artifacts, Entry
from pipeline.registry.errors import RegistryError, RegistryNotFoundError
from pipeline.registry.records import require_identifier

_MIN_PREFIX: Final = 4


def list_models(artifacts: Artifacts, unusable: MutableSequence[Exception] | None = None) -> list[Entry]:
    """Return the models by role and id; a shipped one before one of the same id in the registry.

    Parameters
    ----------
    unusable
        Takes the errors of models that cannot be used; None to raise the first of them.
    """
    entries = {
        manifest.model_id: Entry(manifest, str(path), "shipped") for path, manifest in list_artifacts(SHIPPED)
    }
    for model_id in artifacts.ids():
        try:
            entries.setdefault(model_id, artifacts.entry(model_id))
        except RegistryError as error:
            if unusable is None:
                raise
            unusable.append(error)
    return sorted(entries.values(), key=lambda entry: (entry.manifest.role, entry.model_id))


def resolve_model(artifacts: Artifacts, prefix: str, url: str) -> str:
    """Return the id of the only model that begins so; no manifest is read.

    Parameters
    ----------
    url
        What errors call the registry.

    Raises
    ------
    RegistryNotFoundError
        There is none.
    RegistryError
        There are several.
    """
    require_identifier("model_id", prefix)
    known = {*artifacts.ids(), *(path.name for path, _ in list_artifacts(SHIPPED))}
    found = sorted(name for name in known if name.startswith(prefix)) if prefix not in known else [prefix]
    if len(prefix) < _MIN_PREFIX or not found:
        raise RegistryNotFoundError(
            f"no model {prefix!r} in {url}: give an id of `cs3g models list`,"
            f" or at least {_MIN_PREFIX} digits of one"
        )
    if len(found) > 1:
        raise RegistryError(f"{prefix!r} is ambiguous in {url}: {', '.join(found)}")
    return found[0]
