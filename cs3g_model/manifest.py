"""What an artifact says of itself: its manifest, whose hash is the model's id."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import msgspec

from cs3g_model.compression.packing import Quantization
from cs3g_model.config import StudentConfig, TeacherConfig
from cs3g_model.errors import ArtifactFormatError, ArtifactNotFoundError, ArtifactTamperedError, ConfigError
from cs3g_model.features import FEATURE_NAMES, FEATURE_SCHEMA_VERSION
from cs3g_model.protocol import Role

__all__ = ["ARTIFACT_VERSION", "MANIFEST_NAME", "Manifest", "manifest_text", "read_file", "read_manifest"]

ARTIFACT_VERSION: Final = 2
"""2 knows quantized weights; 1 is read as well."""

MANIFEST_NAME: Final = "manifest.json"

_MAX_BYTES: Final = 1 << 20
_QUANTIZED_SINCE: Final = 2


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
        Of `model.safetensors`; numbers that take no bytes are no parameters.
    parent_id
        The teacher that a student was distilled from, or the student that it was compressed from.
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
    quantization
        How the weights are stored; None for float32.
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
    quantization: Quantization | None = None
    model_id: str = ""

    def computed_id(self) -> str:
        """Return the id that the other fields hash to."""
        fields = msgspec.to_builtins(msgspec.structs.replace(self, model_id=""))
        if self.artifact_version < _QUANTIZED_SINCE and self.quantization is None:
            del fields["quantization"]
        return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()[:16]

    def model_config(self) -> TeacherConfig | StudentConfig:
        """Return `config` as the validated struct of the role.

        Raises
        ------
        ArtifactFormatError
            If the model reads its relations as only the first release did.
        """
        if isinstance(self.config.get("relations"), bool):
            raise ArtifactFormatError(
                f"model {self.model_id!r} is of cs3g 0.1.0, whose relations this release does not compute: "
                "train or distill it again"
            )
        if self.role == "teacher":
            return msgspec.convert(self.config, TeacherConfig)
        return msgspec.convert(self.config, StudentConfig)


def manifest_text(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest's file."""
    # A line for each field: as JSON indented all through, a sweep alone would take thousands of lines' margins.
    fields = msgspec.to_builtins(manifest)
    lines = (msgspec.json.encode(name) + b": " + msgspec.json.encode(value) for name, value in fields.items())
    return b"{\n  " + b",\n  ".join(lines) + b"\n}\n"


def read_manifest(path: Path) -> Manifest:
    """Read and verify the manifest of an artifact's folder; its weights are not read.

    Raises
    ------
    ArtifactNotFoundError
        If there is none.
    ArtifactFormatError
        If it is unreadable, newer, or of other features.
    ArtifactTamperedError
        If it does not hash to its id.
    """
    source = path / MANIFEST_NAME
    data = read_file(source, _MAX_BYTES)
    try:
        version = msgspec.json.decode(data, type=dict[str, Any]).get("artifact_version")
        if version not in range(1, ARTIFACT_VERSION + 1):
            raise ArtifactFormatError(
                f"{source}: `artifact_version` (={version!r}) must be 1 to {ARTIFACT_VERSION}: update cs3g"
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


def read_file(path: Path, limit: int) -> bytes:
    """Return a file's bytes, at most `limit` of them.

    Raises
    ------
    ArtifactNotFoundError
        If it does not exist.
    ArtifactFormatError
        If it is larger or cannot be read.
    """
    try:
        size = path.stat().st_size
        if size > limit:
            raise ArtifactFormatError(f"{path} has {size} bytes, more than the {limit} allowed")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactNotFoundError(f"{path} does not exist") from error
    except OSError as error:
        raise ArtifactFormatError(f"{path} cannot be read: {error.strerror}") from error
