"""Models on disk: a folder of `model.safetensors` and `manifest.json`, never a pickle.

The manifest holds the SHA-256 of the weights; the model id is the first 16 hexadecimal digits of the
SHA-256 of the manifest without the id. So neither file can change without the id changing, and loading
checks both before a tensor is read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as _load
from safetensors.numpy import save as _save

from cs3g_model.config import StudentConfig, TeacherConfig
from cs3g_model.errors import (
    ArtifactError,
    ArtifactFormatError,
    ArtifactNotFoundError,
    ArtifactTamperedError,
    ConfigError,
)
from cs3g_model.features import FEATURE_NAMES, FEATURE_SCHEMA_VERSION
from cs3g_model.protocol import Role, StreamingModel

__all__ = [
    "ARTIFACT_VERSION",
    "SHIPPED",
    "Artifact",
    "Manifest",
    "list_artifacts",
    "load_artifact",
    "load_runtime",
    "resolve_artifact",
    "runtime_of",
    "save_artifact",
]

ARTIFACT_VERSION: Final = 1
MANIFEST_NAME: Final = "manifest.json"
WEIGHTS_NAME: Final = "model.safetensors"
SHIPPED: Final = Path(__file__).parent / "shipped"
"""The artifacts that come with the package, a folder each, named by id."""

_MAX_MANIFEST_BYTES: Final = 1 << 20
_MAX_WEIGHTS_BYTES: Final = 1 << 30

Arrays = dict[str, NDArray[np.float32]]


class Manifest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What an artifact is and how it came to be.

    Attributes
    ----------
    artifact_version
        Version of this format.
    role
        "teacher" or "student".
    config
        The fields of `TeacherConfig` or `StudentConfig`.
    feature_schema_version, feature_names
        The features that the model reads, in order.
    weights_sha256, weights_bytes, parameters
        Of `model.safetensors`.
    parent_id
        The teacher that a student was distilled from.
    data_sha256
        File name to SHA-256 of the training data.
    splits
        Name of the split to its first and last date, ISO 8601, both inside.
    seed, command
        What to run to get it again.
    training
        The fields of the training configuration.
    metrics
        Name to value, confidence limits included.
    model_id
        The hash of all of the above.
    """

    artifact_version: int
    role: Role
    config: dict[str, Any]
    feature_schema_version: int
    feature_names: list[str]
    weights_sha256: str
    weights_bytes: int
    parameters: int
    parent_id: str | None = None
    data_sha256: dict[str, str] = {}
    splits: dict[str, tuple[str, str]] = {}
    seed: int = 0
    command: str = ""
    training: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    model_id: str = ""

    def computed_id(self) -> str:
        """Return the id that the other fields hash to."""
        payload = msgspec.json.encode(msgspec.structs.replace(self, model_id=""), order="sorted")
        return hashlib.sha256(payload).hexdigest()[:16]

    def model_config(self) -> TeacherConfig | StudentConfig:
        """Return `config` as the validated struct of the role."""
        if self.role == "teacher":
            return msgspec.convert(self.config, TeacherConfig)
        return msgspec.convert(self.config, StudentConfig)


class Artifact(msgspec.Struct, frozen=True):
    """A loaded and verified artifact."""

    manifest: Manifest
    tensors: Arrays
    path: Path


def save_artifact(
    folder: Path, config: TeacherConfig | StudentConfig, tensors: Arrays, **provenance: Any
) -> Path:
    """Write an artifact as the sub-folder of `folder` that is named by its id.

    Parameters
    ----------
    folder
        Created if absent.
    config
        Decides the role.
    tensors
        Named float32 parameters.
    **provenance
        The optional fields of `Manifest`.

    Returns
    -------
    Path
        The artifact's folder. It appears whole or not at all; the same model twice is the same folder.
    """
    arrays = {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in sorted(tensors.items())}
    weights = bytes(_save(arrays, metadata={"format": "cs3g"}))
    manifest = Manifest(
        artifact_version=ARTIFACT_VERSION,
        role="teacher" if isinstance(config, TeacherConfig) else "student",
        config=msgspec.to_builtins(config),
        feature_schema_version=FEATURE_SCHEMA_VERSION,
        feature_names=list(FEATURE_NAMES),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        weights_bytes=len(weights),
        parameters=sum(array.size for array in arrays.values()),
        **provenance,
    )
    manifest = msgspec.structs.replace(manifest, model_id=manifest.computed_id())
    target = folder / manifest.model_id
    if target.exists():
        load_artifact(target)
        return target
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        temporary.chmod(0o755)  # mkdtemp's 0700 would hide a shared registry from its readers
        (temporary / WEIGHTS_NAME).write_bytes(weights)
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        (temporary / MANIFEST_NAME).write_bytes(text + b"\n")
        os.replace(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


def load_artifact(path: Path) -> Artifact:
    """Read and verify an artifact's folder.

    Raises
    ------
    ArtifactNotFoundError
        If a file is missing.
    ArtifactFormatError
        If the manifest is unreadable, newer, or of other features.
    ArtifactTamperedError
        If the manifest or the weights do not match their hash.
    """
    manifest = _read_manifest(path)
    weights = _read(path / WEIGHTS_NAME, _MAX_WEIGHTS_BYTES)
    digest = hashlib.sha256(weights).hexdigest()
    if digest != manifest.weights_sha256:
        raise ArtifactTamperedError(
            f"{path / WEIGHTS_NAME} has sha256 {digest}, its manifest says {manifest.weights_sha256}: "
            "fetch or train the model again"
        )
    try:
        tensors = _load(weights)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ArtifactFormatError(f"{path / WEIGHTS_NAME} is not a safetensors file: {error}") from error
    return Artifact(manifest, tensors, path)


def runtime_of(artifact: Artifact) -> StreamingModel:
    """Make the streaming model of a loaded artifact; only a teacher imports torch."""
    config, manifest = artifact.manifest.model_config(), artifact.manifest
    if isinstance(config, TeacherConfig):
        from cs3g_model.teacher_runtime import TeacherRuntime

        return TeacherRuntime(config, artifact.tensors, manifest.model_id)
    from cs3g_model.student_runtime import StudentRuntime

    return StudentRuntime(config, artifact.tensors, manifest.model_id)


def load_runtime(id_or_path: str | Path, *folders: Path) -> StreamingModel:
    """Load a model for streaming; see `resolve_artifact` for the name."""
    return runtime_of(load_artifact(resolve_artifact(id_or_path, *folders)))


def resolve_artifact(id_or_path: str | Path, *folders: Path) -> Path:
    """Find an artifact's folder.

    Parameters
    ----------
    id_or_path
        A folder, a model id or at least 4 leading digits of one, or "teacher" or "student" for the only
        artifact of that role.
    *folders
        Where ids are looked for, before the shipped artifacts.

    Raises
    ------
    ArtifactNotFoundError
        If nothing matches.
    ArtifactError
        If several match.
    """
    name = str(id_or_path)
    if isinstance(id_or_path, Path) or os.sep in name or (Path(name) / MANIFEST_NAME).is_file():
        path = Path(name)
        if not (path / MANIFEST_NAME).is_file():
            raise ArtifactNotFoundError(f"{path} is no artifact: it has no {MANIFEST_NAME}")
        return path
    for folder in (*folders, SHIPPED):
        if name in ("teacher", "student"):
            found = [path for path, manifest in list_artifacts(folder) if manifest.role == name]
        else:
            found = [path for path in _folders(folder) if len(name) >= 4 and path.name.startswith(name)]
        if len(found) > 1:
            raise ArtifactError(
                f"{name!r} is ambiguous in {folder}: {', '.join(path.name for path in found)}"
            )
        if found:
            return found[0]
    raise ArtifactNotFoundError(f"no model is called {name!r}: give a folder or an id of `cs3g models list`")


def list_artifacts(folder: Path = SHIPPED) -> list[tuple[Path, Manifest]]:
    """List the artifacts in a folder, by role and id; their weights are not read."""
    found = [(path, _read_manifest(path)) for path in _folders(folder)]
    return sorted(found, key=lambda item: (item[1].role, item[1].model_id))


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path.parent for path in folder.glob(f"[!.]*/{MANIFEST_NAME}"))


def _read(path: Path, limit: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > limit:
            raise ArtifactFormatError(f"{path} has {size} bytes, more than the {limit} allowed")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactNotFoundError(f"{path} does not exist") from error
    except OSError as error:
        raise ArtifactFormatError(f"{path} cannot be read: {error.strerror}") from error


def _read_manifest(path: Path) -> Manifest:
    source = path / MANIFEST_NAME
    data = _read(source, _MAX_MANIFEST_BYTES)
    try:
        version = msgspec.json.decode(data, type=dict[str, Any]).get("artifact_version")
        if version != ARTIFACT_VERSION:
            raise ArtifactFormatError(
                f"{source}: `artifact_version` (={version!r}) must be {ARTIFACT_VERSION}: update cs3g"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
        manifest.model_config()
    except (msgspec.MsgspecError, UnicodeDecodeError, ConfigError) as error:
        raise ArtifactFormatError(f"{source}: {error}") from error
    if manifest.model_id != manifest.computed_id():
        raise ArtifactTamperedError(
            f"{source} says id {manifest.model_id!r} but hashes to {manifest.computed_id()!r}"
        )
    if manifest.feature_schema_version != FEATURE_SCHEMA_VERSION:
        raise ArtifactFormatError(
            f"{source}: `feature_schema_version` (={manifest.feature_schema_version}) must be "
            f"{FEATURE_SCHEMA_VERSION}: train the model again on the current features"
        )
    if manifest.feature_names != list(FEATURE_NAMES):
        raise ArtifactFormatError(f"{source}: the model reads other features than {', '.join(FEATURE_NAMES)}")
    if manifest.model_config().n_features != len(FEATURE_NAMES):
        raise ArtifactFormatError(f"{source}: `n_features` must be {len(FEATURE_NAMES)}")
    return manifest
