"""Artifacts of a registry: added whole, and never handed out before their hashes have been checked."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cs3g_model.artifacts import SHIPPED, WEIGHTS_NAME
from cs3g_model.errors import ArtifactError, ArtifactNotFoundError
from cs3g_model.manifest import MANIFEST_NAME, Manifest, read_manifest
from pipeline.registry.errors import RegistryError, RegistryNotFoundError, RegistryTamperedError
from pipeline.registry.records import require_identifier
from pipeline.registry.store import Store

MAX_MANIFEST_BYTES: Final = 1 << 20
MAX_WEIGHTS_BYTES: Final = 1 << 30
FOLDER: Final = "artifacts"
_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that can be activated.

    Attributes
    ----------
    location
        Where its files are.
    source
        Whether it lies in the registry or came with the package.
    """

    manifest: Manifest
    location: str
    source: Literal["registry", "shipped"]

    @property
    def model_id(self) -> str:
        """The model's id."""
        return self.manifest.model_id


class Artifacts:
    """Models by id, those of a store and the shipped ones.

    Parameters
    ----------
    store
        Where they are kept.
    cache
        Folder for local copies of what a remote store holds.
    """

    def __init__(self, store: Store, cache: Path) -> None:
        self._store = store
        self._cache = cache / hashlib.sha256(store.url.encode()).hexdigest()[:16]

    def add(self, folder: Path) -> Manifest:
        """Copy an artifact's folder into the store; adding it again changes nothing.

        Raises
        ------
        RegistryTamperedError, RegistryNotFoundError
            The folder is no sound artifact.
        RegistryFullError
            There is no room; the model is not there then.
        """
        manifest = checked_manifest(folder)
        name = f"{FOLDER}/{manifest.model_id}"
        weights = (folder / WEIGHTS_NAME).read_bytes()
        # Of these very bytes: the file may have changed since its hash was checked.
        if hashlib.sha256(weights).hexdigest() != manifest.weights_sha256:
            raise RegistryTamperedError(f"{folder / WEIGHTS_NAME} changed while it was read: add it again")
        self._store.write(f"{name}/{WEIGHTS_NAME}", weights)
        self._store.write(f"{name}/{MANIFEST_NAME}", (folder / MANIFEST_NAME).read_bytes())
        return manifest

    def get(self, model_id: str) -> Path:
        """Return a local folder of a model whose hashes hold.

        Raises
        ------
        RegistryNotFoundError
            Neither the store nor the package has it.
        RegistryTamperedError
            Its files are not what their hashes say.
        """
        require_identifier("model_id", model_id)
        shipped = SHIPPED / model_id
        if (shipped / MANIFEST_NAME).is_file():
            checked_manifest(shipped, model_id)
            return shipped
        local = self._store.folder
        if local is None:
            return self._fetched(model_id)
        folder = local / FOLDER / model_id
        if not (folder / MANIFEST_NAME).is_file():
            raise self._unknown(model_id)
        checked_manifest(folder, model_id)
        return folder

    def ids(self) -> list[str]:
        """Return the ids of the store's models, sorted; one that is half written is not among them."""
        return [
            name
            for name in self._store.names(FOLDER)
            if self._store.exists(f"{FOLDER}/{name}/{MANIFEST_NAME}")
        ]

    def entry(self, model_id: str) -> Entry:
        """Return what a model of the store is; its weights are not read.

        Raises
        ------
        RegistryTamperedError
            Its manifest is not what its hash says.
        """
        name = f"{FOLDER}/{model_id}"
        data = self._store.read(f"{name}/{MANIFEST_NAME}", MAX_MANIFEST_BYTES)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / MANIFEST_NAME).write_bytes(data)
            try:
                manifest = read_manifest(Path(folder))
            except ArtifactError as error:
                message = str(error).replace(folder, self._store.location(name))
                raise RegistryTamperedError(message) from error
        _require_id(manifest, model_id, self._store.location(name))
        return Entry(manifest, self._store.location(name), "registry")

    def _fetched(self, model_id: str) -> Path:
        target = self._cache / model_id
        if (target / MANIFEST_NAME).is_file():
            try:
                checked_manifest(target, model_id)
            except RegistryError:
                shutil.rmtree(target, ignore_errors=True)  # a damaged copy is fetched anew
            else:
                return target
        name = f"{FOLDER}/{model_id}"
        try:
            manifest = self._store.read(f"{name}/{MANIFEST_NAME}", MAX_MANIFEST_BYTES)
            weights = self._store.read(f"{name}/{WEIGHTS_NAME}", MAX_WEIGHTS_BYTES)
        except RegistryNotFoundError as error:
            raise self._unknown(model_id) from error
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=".fetching-", dir=self._cache))
        except OSError as error:
            raise RegistryError(f"the cache {self._cache} cannot be written: {error.strerror}") from error
        try:
            (temporary / WEIGHTS_NAME).write_bytes(weights)
            (temporary / MANIFEST_NAME).write_bytes(manifest)
            checked_manifest(temporary, model_id, shown=self._store.location(name))
            os.replace(temporary, target)
        except OSError as error:
            if (target / MANIFEST_NAME).is_file():  # somebody else fetched it meanwhile
                checked_manifest(target, model_id)
                return target
            raise RegistryError(f"the cache {self._cache} cannot be written: {error.strerror}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return target

    def _unknown(self, model_id: str) -> RegistryNotFoundError:
        return RegistryNotFoundError(
            f"no model {model_id!r} in {self._store.url}: see `cs3g models list`,"
            " or add its folder with `cs3g models add`"
        )


def checked_manifest(folder: Path, model_id: str | None = None, *, shown: str | None = None) -> Manifest:
    """Return the manifest of an artifact's folder after both files' hashes were compared.

    Parameters
    ----------
    model_id
        The id that it must have; None for any.
    shown
        What errors call the folder; None for its path.

    Raises
    ------
    RegistryNotFoundError
        A file is missing.
    RegistryTamperedError
        A hash differs, or the manifest cannot be read.
    """
    name = shown or str(folder)
    try:
        manifest = read_manifest(folder)
    except ArtifactNotFoundError as error:
        raise RegistryNotFoundError(str(error).replace(str(folder), name)) from error
    except ArtifactError as error:
        raise RegistryTamperedError(str(error).replace(str(folder), name)) from error
    if model_id is not None:
        _require_id(manifest, model_id, name)
    digest = hashlib.sha256()
    try:
        with (folder / WEIGHTS_NAME).open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except FileNotFoundError as error:
        raise RegistryNotFoundError(f"{name}/{WEIGHTS_NAME} does not exist") from error
    except OSError as error:
        raise RegistryError(f"{name}/{WEIGHTS_NAME} cannot be read: {error.strerror}") from error
    if digest.hexdigest() != manifest.weights_sha256:
        raise RegistryTamperedError(
            f"{name}/{WEIGHTS_NAME} has sha256 {digest.hexdigest()}, its manifest says"
            f" {manifest.weights_sha256}: add the model again from where it was made"
        )
    return manifest


def _require_id(manifest: Manifest, model_id: str, name: str) -> None:
    if manifest.model_id != model_id:
        raise RegistryTamperedError(f"{name} holds model {manifest.model_id!r}, not {model_id!r}")
