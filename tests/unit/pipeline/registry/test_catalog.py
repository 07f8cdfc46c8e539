"""A model is found by the beginning of its id, never by one that several share."""

from __future__ import annotations

from pathlib import Path

import pytest

from cs3g_model.artifacts import SHIPPED, list_artifacts
from pipeline.registry import RegistryError, RegistryNotFoundError, RegistryTamperedError
from pipeline.registry.artifacts import Artifacts
from pipeline.registry.catalog import list_models, resolve_model
from pipeline.registry.store import Store
from tests.unit.pipeline.registry.stores import make_student


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(Store(tmp_path / "registry"), tmp_path / "cache")


def test_the_beginning_of_an_id_will_do(artifacts: Artifacts, tmp_path: Path) -> None:
    model_id = artifacts.add(make_student(tmp_path / "made")).model_id
    assert resolve_model(artifacts, model_id[:4], "here") == model_id
    with pytest.raises(RegistryNotFoundError, match=r"in here: .* at least 4 digits"):
        resolve_model(artifacts, model_id[:3], "here")


def test_an_ambiguous_beginning_is_refused_but_a_whole_id_is_not(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    for name in ("aaaa1", "aaaa12"):
        folder = tmp_path / "registry" / "artifacts" / name
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    assert resolve_model(artifacts, "aaaa1", "here") == "aaaa1"
    with pytest.raises(RegistryError, match="ambiguous in here: aaaa1, aaaa12"):
        resolve_model(artifacts, "aaaa", "here")
    with pytest.raises(RegistryTamperedError):
        list_models(artifacts)
    unusable: list[Exception] = []
    shipped = sorted(manifest.model_id for _, manifest in list_artifacts(SHIPPED))
    assert sorted(entry.model_id for entry in list_models(artifacts, unusable)) == shipped
    assert len(unusable) == 2
