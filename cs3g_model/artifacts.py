"""Models on disk: a folder of `model.safetensors` and `manifest.json`, never a pickle.

The manifest holds the SHA-256 of the weights; the model id is the first 16 hexadecimal digits of the
SHA-256 of the manifest without the id. So neither file can change without the id changing, and loading
checks both before a tensor is read.

Weights in float32 are named tensors of the safetensors file. Quantized ones are one run of bytes in it, named
"w", and the manifest says what they hold: see `cs3g_model.compression.packing`.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as _load
from safetensors.numpy import save as _save

from cs3g_model.compression.packing import Quantization, Stored, pack, unpack, values_of
from cs3g_model.config import StudentConfig, TeacherConfig
from cs3g_model.errors import ArtifactError, ArtifactFormatError, ArtifactNotFoundError, ArtifactTamperedError
from cs3g_model.features import FEATURE_NAMES, FEATURE_SCHEMA_VERSION
from cs3g_model.manifest import (
    ARTIFACT_VERSION,
    MANIFEST_NAME,
    Manifest,
    manifest_text,
    read_file,
    read_manifest,
)
from cs3g_model.protocol import StreamingModel

__all__ = [
    "SHIPPED",
    "Artifact",
    "list_artifacts",
    "load_artifact",
    "load_runtime",
    "packed_file_bytes",
    "resolve_artifact",
    "runtime_of",
    "save_artifact",
]

WEIGHTS_NAME: Final = "model.safetensors"
SHIPPED: Final = Path(__file__).parent / "shipped"
"""The artifacts that come with the package, a folder each, named by id."""

_MAX_WEIGHTS_BYTES: Final = 1 << 30
_PACKED_NAME: Final = "w"

Arrays = dict[str, NDArray[np.float32]]


class Artifact(msgspec.Struct, frozen=True):
    """A loaded and verified artifact.

    Attributes
    ----------
    manifest
        What it is.
    tensors
        Named float32 parameters.
    path
        Its folder.
    stored
        The tensors as they are stored, if they are quantized.
    """

    manifest: Manifest
    tensors: Arrays
    path: Path
    stored: dict[str, Stored] = {}


def packed_file_bytes(n: int) -> int:
    """Return the size of a weights file that holds `n` packed bytes."""
    return len(_save({_PACKED_NAME: np.zeros(n, np.uint8)}))


def save_artifact(
    folder: Path,
    config: TeacherConfig | StudentConfig,
    tensors: Mapping[str, Stored],
    *,
    quantization: Quantization | None = None,
    **provenance: Any,
) -> Path:
    """Write an artifact as the sub-folder of `folder` that is named by its id.

    Parameters
    ----------
    folder
        Created if absent.
    config
        Decides the role.
    tensors
        Named parameters; float32 without `quantization`.
    quantization
        Packs the tensors as they are; its list of what the bytes hold is filled in.
    **provenance
        The other optional fields of `Manifest`.

    Returns
    -------
    Path
        The artifact's folder. It appears whole or not at all; the same model twice is the same folder.
    """
    if quantization is None:
        arrays = {name: np.ascontiguousarray(values_of(t), np.float32) for name, t in sorted(tensors.items())}
        weights = bytes(_save(arrays, metadata={"format": "cs3g"}))
        parameters = sum(array.size for array in arrays.values())
    else:
        data, index = pack(tensors)
        weights = bytes(_save({_PACKED_NAME: np.frombuffer(data, np.uint8)}))
        parameters = sum(math.prod(entry.shape) for entry in index if entry.bits)
        quantization = msgspec.structs.replace(quantization, tensors=index)
    manifest = Manifest(
        artifact_version=ARTIFACT_VERSION,
        role="teacher" if isinstance(config, TeacherConfig) else "student",
        config=msgspec.to_builtins(config),
        feature_schema_version=FEATURE_SCHEMA_VERSION,
        feature_names=list(FEATURE_NAMES),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        weights_bytes=len(weights),
        parameters=parameters,
        quantization=quantization,
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
        (temporary / MANIFEST_NAME).write_bytes(manifest_text(manifest))
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
    manifest = read_manifest(path)
    weights = read_file(path / WEIGHTS_NAME, _MAX_WEIGHTS_BYTES)
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
    if manifest.quantization is None:
        return Artifact(manifest, tensors, path)
    packed = tensors.get(_PACKED_NAME)
    if len(tensors) != 1 or packed is None or packed.dtype != np.uint8:
        raise ArtifactFormatError(f"{path / WEIGHTS_NAME} must hold one tensor {_PACKED_NAME!r} of bytes")
    stored = unpack(packed.tobytes(), manifest.quantization.tensors)
    return Artifact(manifest, {name: values_of(t) for name, t in stored.items()}, path, stored)


def runtime_of(artifact: Artifact) -> StreamingModel:
    """Make the streaming model of a loaded artifact; only a teacher imports torch."""
    config, manifest = artifact.manifest.model_config(), artifact.manifest
    if isinstance(config, TeacherConfig):
        from cs3g_model.teacher_runtime import TeacherRuntime

        return TeacherRuntime(config, artifact.tensors, manifest.model_id)
    if manifest.quantization is not None:
        from cs3g_model.compression.integer_inputs import stored_runtime

        return stored_runtime(config, artifact.stored, manifest.quantization.activations, manifest.model_id)
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
    found = [(path, read_manifest(path)) for path in _folders(folder)]
    return sorted(found, key=lambda item: (item[1].role, item[1].model_id))


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path.parent for path in folder.glob(f"[!.]*/{MANIFEST_NAME}"))
