"""Which artifact serves a role."""

from __future__ import annotations

from pathlib import Path

from cs3g_model.artifacts import load_artifact, resolve_artifact, runtime_of
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


def load_model(config: PipelineConfig, role: Role, model_id: str | None = None) -> StreamingModel:
    """Load the artifact that serves a role, its hash checked.

    Raises
    ------
    ConfigError
        The artifact is of the other role.
    """
    model = runtime_of(load_artifact(model_path(config, role, model_id)))
    if model.role != role:
        raise ConfigError(f"model {model.model_id!r} is a {model.role}, a {role} is needed", setting="model")
    return model
