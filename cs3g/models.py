"""Which artifact serves a role."""

from __future__ import annotations

from pathlib import Path

from cs3g_model.artifacts import Artifact, load_artifact, resolve_artifact, runtime_of
from cs3g_model.protocol import StreamingModel
from pipeline.config import PipelineConfig
from pipeline.errors import ConfigError
from topics.types import Role


def model_path(config: PipelineConfig, role: Role, model_id: str | None = None) -> Path:
    """Return the folder of the artifact that serves a role.

    Parameters
    ----------
    model_id
        An id or a path; None for the configured one, else the one that is shipped.

    Raises
    ------
    ArtifactNotFoundError
        There is no such artifact.
    """
    configured = config.student_model_id if role == "student" else config.teacher_model_id
    folders = [config.models_dir] if config.models_dir is not None else []
    return resolve_artifact(model_id or configured or role, *folders)


def load_role_artifact(config: PipelineConfig, role: Role, model_id: str | None = None) -> Artifact:
    """Load the artifact that serves a role, its hash checked.

    Raises
    ------
    ConfigError
        The artifact is of the other role.
    """
    artifact = load_artifact(model_path(config, role, model_id))
    found = artifact.manifest
    if found.role != role:
        raise ConfigError(f"model {found.model_id!r} is a {found.role}, a {role} is needed", setting="model")
    return artifact


def load_model(config: PipelineConfig, role: Role, model_id: str | None = None) -> StreamingModel:
    """Return the model that serves a role; parameters and errors as of `load_role_artifact`."""
    return runtime_of(load_role_artifact(config, role, model_id))
