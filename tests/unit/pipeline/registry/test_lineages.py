"""Lineages stay as they were first told, and lead back as far as they are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.registry import Lineage, RegistryNotFoundError, RegistryTamperedError
from pipeline.registry.artifacts import Artifacts
from pipeline.registry.lineages import Lineages
from pipeline.registry.store import Store


@pytest.fixture
def lineages(tmp_path: Path) -> Lineages:
    store = Store(tmp_path / "registry")
    return Lineages(store, Artifacts(store, tmp_path / "cache"))


def test_the_first_lineage_stays(lineages: Lineages) -> None:
    first = Lineage(model_id="a", job_id="one", created_ns=7)
    lineages.record(first)
    lineages.record(Lineage(model_id="a", job_id="two"))
    assert lineages.of("a") == first


def test_an_ancestry_ends_where_a_parent_is_unknown_and_where_it_turns_in_a_circle(
    lineages: Lineages,
) -> None:
    for model_id, parent_id in (("a", "b"), ("b", "unknown"), ("c", "d"), ("d", "c")):
        lineages.record(Lineage(model_id=model_id, parent_id=parent_id))
    assert [found.model_id for found in lineages.ancestry("a")] == ["a", "b"]
    assert [found.model_id for found in lineages.ancestry("c")] == ["c", "d"]
    with pytest.raises(RegistryNotFoundError):
        lineages.ancestry("unknown")


def test_a_record_of_another_model_is_refused(lineages: Lineages, tmp_path: Path) -> None:
    lineages.record(Lineage(model_id="a"))
    folder = tmp_path / "registry" / "lineage"
    (folder / "b.json").write_bytes((folder / "a.json").read_bytes())
    with pytest.raises(RegistryTamperedError, match="is of model 'a'"):
        lineages.of("b")
