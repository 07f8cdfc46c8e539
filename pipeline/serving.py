"""Loading a model that was announced, or that a checkpoint names, so that a bad one is refused in one line."""

from __future__ import annotations

from pathlib import Path

from cs3g_model.artifacts import load_artifact, runtime_of
from cs3g_model.manifest import MANIFEST_NAME
from cs3g_model.protocol import StreamingModel
from pipeline.config import PipelineConfig
from pipeline.errors import PipelineError
from pipeline.registry import Registry
from pipeline.roles import as_role
from pipeline.warmup import warm_up
from topics.types import Role

__all__ = ["ModelRefusedError", "load_serving"]


class ModelRefusedError(PipelineError):
    """A model may not serve: it is absent, was changed, is of the other role, or does not run.

    Attributes
    ----------
    model_id
        Which.
    """

    def __init__(self, message: str, *, model_id: str) -> None:
        super().__init__(message)
        self.model_id = model_id


def load_serving(config: PipelineConfig, role: Role, model_id: str, sha256: str = "") -> StreamingModel:
    """Return a model that is ready to serve: hashes checked, run once on a few ticks, and so compiled.

    Parameters
    ----------
    model_id
        Of an artifact in `config.models_dir`, in the registry or shipped.
    sha256
        What its weights must hash to; "" for whatever its manifest says.

    Raises
    ------
    ModelRefusedError
        It may not serve, and why.
    """
    try:
        return _load(config, role, model_id, sha256)
    except Exception as error:
        # Of any kind: hashes that agree tell nothing about what a stranger's tensors do to the runtime.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelRefusedError(f"model {model_id!r} is refused: {reason}", model_id=model_id) from error


def _load(config: PipelineConfig, role: Role, model_id: str, sha256: str) -> StreamingModel:
    artifact = load_artifact(_folder(config, model_id))
    manifest = artifact.manifest
    if manifest.model_id != model_id:
        raise PipelineError(f"{artifact.path} holds model {manifest.model_id!r}")
    if sha256 and manifest.weights_sha256 != sha256:
        raise PipelineError(f"its weights have sha256 {manifest.weights_sha256}, {sha256} were announced")
    if manifest.role != role and not config.any_role:
        raise PipelineError(f"it is a {manifest.role}, a {role} is needed")
    model = as_role(runtime_of(artifact), role)
    warm_up(config, model)
    return model


def _folder(config: PipelineConfig, model_id: str) -> Path:
    if config.models_dir is not None and (config.models_dir / model_id / MANIFEST_NAME).is_file():
        return config.models_dir / model_id
    return Registry(config.registry_url).get(model_id)
