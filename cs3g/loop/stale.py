"""A student that has gone stale, made on purpose: to see that the pipeline notices."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np

from cs3g.models import load_as
from cs3g_model.artifacts import save_artifact
from cs3g_model.config import StudentConfig
from cs3g_model.errors import ConfigError

HEAD: Final = "outward.weight"


def write_stale(
    student: str, folder: Path, *, amount: float, seed: int = 0, folders: tuple[Path, ...] = ()
) -> Path:
    """Write a student whose output head is turned away from what the student has learned.

    Parameters
    ----------
    student
        Artifact to start from, an id or a path.
    folder
        Gets the artifact, in float32.
    amount
        Share of the head that is forgotten, in (0, 1]: w' = sqrt(1 - a^2) w + a n, with n drawn orthogonal to w and
        of its length. At 1 nothing of it is left.
    seed
        Of the draw.

    Returns
    -------
    Path
        The artifact's folder; the same arguments give the same artifact.

    Raises
    ------
    ConfigError
        `amount` is out of range.
    ArtifactError
        There is no such student.
    """
    if not 0.0 < amount <= 1.0:
        raise ConfigError(f"`amount` (={amount}) must be in (0, 1]: the share of the head that is forgotten")
    artifact, config = load_as(StudentConfig, student, *folders)
    tensors = {name: np.array(values, np.float32) for name, values in artifact.tensors.items()}
    learned = tensors[HEAD].astype(np.float64)
    noise = np.random.default_rng(seed).standard_normal(learned.shape)
    noise -= learned * (np.vdot(noise, learned) / np.vdot(learned, learned))
    noise *= np.linalg.norm(learned) / np.linalg.norm(noise)
    tensors[HEAD] = (math.sqrt(1.0 - amount * amount) * learned + amount * noise).astype(np.float32)
    return save_artifact(folder, config, tensors, parent_id=artifact.manifest.model_id)
