"""How the models of one registry came to be; what is not recorded is read off a model's manifest."""

from __future__ import annotations

from typing import Final

from pipeline.registry.artifacts import Artifacts, checked_manifest
from pipeline.registry.errors import RegistryNotFoundError, RegistryTamperedError
from pipeline.registry.records import (
    MAX_RECORD_BYTES,
    Lineage,
    decode_record,
    encode_record,
    require_identifier,
)
from pipeline.registry.store import Store

FOLDER: Final = "lineage"


class Lineages:
    """Lineages by model, each created once.

    Parameters
    ----------
    store
        Where they are kept.
    artifacts
        The models that may have one.
    """

    def __init__(self, store: Store, artifacts: Artifacts) -> None:
        self._store = store
        self._artifacts = artifacts

    def record(self, lineage: Lineage) -> None:
        """Write a model's lineage unless it has one.

        Raises
        ------
        RegistryError
            A field breaks its rule.
        RegistryFullError
            There is no room.
        """
        self._store.create(_name(lineage.model_id), encode_record(lineage))

    def of(self, model_id: str) -> Lineage:
        """Return how a model came to be; of one that has no lineage what its manifest tells.

        Raises
        ------
        RegistryNotFoundError
            There is no such model.
        RegistryTamperedError
            The record is of another model.
        """
        name = _name(model_id)
        try:
            data = self._store.read(name, MAX_RECORD_BYTES)
        except RegistryNotFoundError:
            manifest = checked_manifest(self._artifacts.get(model_id))
            return Lineage(model_id=model_id, parent_id=manifest.parent_id, seed=manifest.seed)
        record = decode_record(data, Lineage, self._store.location(name))
        if record.model_id != model_id:
            raise RegistryTamperedError(f"{self._store.location(name)} is of model {record.model_id!r}")
        return record

    def ancestry(self, model_id: str) -> list[Lineage]:
        """Return a model's lineage and those of its parents as far as they are known, the model's own first.

        Raises
        ------
        RegistryNotFoundError
            There is no such model.
        """
        found = [self.of(model_id)]
        seen = {model_id}
        while (parent := found[-1].parent_id) is not None and parent not in seen:
            seen.add(parent)
            try:
                found.append(self.of(parent))
            except RegistryNotFoundError:
                break
        return found


def _name(model_id: str) -> str:
    return f"{FOLDER}/{require_identifier('model_id', model_id)}.json"
