"""A stale student is another artifact, the same for the same seed, and agrees with its source as little as asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cs3g.loop.stale import HEAD, write_stale
from cs3g_model.artifacts import load_artifact, resolve_artifact
from cs3g_model.errors import ArtifactError, ConfigError


def test_the_head_is_turned_by_as_much_as_asked(tmp_path: Path) -> None:
    source = load_artifact(resolve_artifact("student"))
    learned = source.tensors[HEAD].ravel().astype(np.float64)
    for amount in (0.3, 1.0):
        path = write_stale("student", tmp_path, amount=amount)
        stale = load_artifact(path)
        head = stale.tensors[HEAD].ravel().astype(np.float64)
        cosine = head @ learned / (np.linalg.norm(head) * np.linalg.norm(learned))
        np.testing.assert_allclose(cosine, np.sqrt(1 - amount**2), atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(head), np.linalg.norm(learned), rtol=1e-6)
        assert stale.manifest.parent_id == source.manifest.model_id
        for name in source.tensors.keys() - {HEAD}:
            assert np.array_equal(stale.tensors[name], source.tensors[name])
        assert write_stale("student", tmp_path, amount=amount) == path
        assert write_stale("student", tmp_path, amount=amount, seed=1) != path


def test_what_cannot_be_made_is_refused(tmp_path: Path) -> None:
    for amount in (0.0, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="`amount`"):
            write_stale("student", tmp_path, amount=amount)
    with pytest.raises(ArtifactError, match="not a student"):
        write_stale("teacher", tmp_path, amount=0.5)
