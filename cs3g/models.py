"""Which artifact serves a role."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from cs3g_model.artifacts import Artifact, load_artifact, resolve_artifact, runtime_of
from cs3g_model.config import StudentConfig, TeacherConfig
from cs3g_model.errors import ArtifactError, ArtifactNotFoundError
from cs3g_model.protocol import StreamingModel
from pipeline.config import PipelineConfig
from pipeline.errors import ConfigError
from pipeline.registry import Registry, RegistryError, RegistryTamperedError
from pipeline.roles import as_role
from topics.types import Role

C = TypeVar("C", StudentConfig, TeacherConfig)


def load_as(kind: type[C], id_or_path: str, *folders: Path) -> tuple[Artifact, C]:
    """Load an artifact that must be a student's or a teacher's, with its configuration.

    Parameters
    ----------
    kind
        The configuration's class.
    id_or_path, folders
        As in `resolve_artifact`.

    Raises
    ------
    ArtifactError
        There is no such artifact, it cannot be used, or it is of the other role.
    """
    artifact = load_artifact(resolve_artifact(id_or_path, *folders))
    config = artifact.manifest.model_config()
    if not isinstance(config, kind):
        needed = "teacher" if kind is TeacherConfig else "student"
        raise ArtifactError(f"{artifact.path} is a {artifact.manifest.role}, not a {needed}")
    return artifact, config


def model_path(config: PipelineConfig, role: Role, model_id: str | None = None) -> Path:
    """Return the folder of the artifact that serves a role.

    Parameters
    ----------
    model_id
        An id, in `config.models_dir`, shipped or in the registry, or a path; None for the configured one, else
        the one that is shipped.

    Raises
    ------
    ArtifactNotFoundError
        There is no such artifact.
    RegistryError
        The registry's copy is not what its hashes say.
    """
    configured = config.student_model_id if role == "student" else config.teacher_model_id
    folders = [config.models_dir] if config.models_dir is not None else []
    name = model_id or configured or role
    try:
        return resolve_artifact(name, *folders)
    except ArtifactNotFoundError:
        registry = Registry(config.registry_url)
        try:
            return registry.get(registry.resolve(name))
        except RegistryTamperedError:
            raise
        except RegistryError:
            pass  # the first error says what to do
        raise


def load_role_artifact(config: PipelineConfig, role: Role, model_id: str | None = None) -> Artifact:
    """Load the artifact that serves a role, its hash checked.

    Raises
    ------
    ConfigError
        The artifact is of the other role, and `config.any_role` does not allow that.
    """
    artifact = load_artifact(model_path(config, role, model_id))
    found = artifact.manifest
    if found.role != role and not config.any_role:
        raise ConfigError(f"model {found.model_id!r} is a {found.role}, a {role} is needed", setting="model")
    return artifact


def load_model(config: PipelineConfig, role: Role, model_id: str | None = None) -> StreamingModel:
    """Return the model that serves a role; parameters and errors as of `load_role_artifact`."""
    return as_role(runtime_of(load_role_artifact(config, role, model_id)), role)
