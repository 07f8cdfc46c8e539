"""A registry keeps what it was given, hands out nothing that changed, and never half of anything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cs3g_model.artifacts import SHIPPED, WEIGHTS_NAME, list_artifacts, load_artifact
from cs3g_model.manifest import MANIFEST_NAME
from pipeline.registry import (
    ActivationConflictError,
    Lineage,
    Registry,
    RegistryError,
    RegistryFullError,
    RegistryNotFoundError,
    RegistryTamperedError,
)
from tests.unit.pipeline.registry.stores import KINDS, FullFileSystem, make_registry, make_student

SHIPPED_STUDENT = next(manifest for _, manifest in list_artifacts(SHIPPED) if manifest.role == "student")


@pytest.fixture(params=KINDS)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    return make_registry(request.param, tmp_path)


@pytest.fixture
def student(tmp_path: Path) -> Path:
    return make_student(tmp_path / "made")


def test_a_model_comes_back_as_it_was_added(registry: Registry, student: Path) -> None:
    assert registry.add(student) == registry.add(student) == student.name
    found = registry.get(student.name)
    for name in (WEIGHTS_NAME, MANIFEST_NAME):
        assert (found / name).read_bytes() == (student / name).read_bytes()
    assert [entry.model_id for entry in registry.list() if entry.source == "registry"] == [student.name]
    assert registry.resolve(student.name[:6]) == student.name


def test_an_empty_registry_has_the_shipped_models_and_writes_nothing(tmp_path: Path) -> None:
    registry = make_registry("folder", tmp_path)
    assert {entry.model_id for entry in registry.list()} == {m.model_id for _, m in list_artifacts(SHIPPED)}
    assert registry.get(SHIPPED_STUDENT.model_id) == SHIPPED / SHIPPED_STUDENT.model_id
    assert registry.active("u", "student") is None
    assert registry.history("u", "student") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [WEIGHTS_NAME, MANIFEST_NAME])
def test_a_changed_artifact_is_refused_and_stays_out_of_service(
    tmp_path: Path, student: Path, kind: str, name: str
) -> None:
    registry = make_registry(kind, tmp_path)
    registry.add(student)
    stored = f"artifacts/{student.name}/{name}"
    data = bytearray(registry._store.read(stored, 1 << 20))
    data[-9] ^= 1
    registry._store.write(stored, bytes(data))
    with pytest.raises(RegistryTamperedError, match=student.name):
        registry.get(student.name)
    with pytest.raises(RegistryTamperedError):
        registry.activate("u", "student", student.name)
    assert registry.active("u", "student") is None
    registry.add(student)  # mends it
    assert registry.activate("u", "student", student.name).seq == 1


def test_a_local_copy_that_was_changed_is_fetched_again(tmp_path: Path, student: Path) -> None:
    registry = make_registry("memory", tmp_path)
    registry.add(student)
    copy = registry.get(student.name)
    (copy / WEIGHTS_NAME).write_bytes(b"other")
    assert load_artifact(registry.get(student.name)).manifest.model_id == student.name


def test_a_model_under_another_name_is_refused(tmp_path: Path, student: Path) -> None:
    registry = make_registry("folder", tmp_path)
    registry.add(student)
    artifacts = tmp_path / "registry" / "artifacts"
    shutil.copytree(artifacts / student.name, artifacts / ("f" * 16))
    with pytest.raises(RegistryTamperedError, match="holds model"):
        registry.get("f" * 16)
    unusable: list[Exception] = []
    assert student.name in {entry.model_id for entry in registry.list(unusable)}
    assert len(unusable) == 1


def test_half_a_model_is_none(tmp_path: Path, student: Path) -> None:
    registry = make_registry("folder", tmp_path)
    folder = tmp_path / "registry" / "artifacts" / student.name
    folder.mkdir(parents=True)
    shutil.copy(student / WEIGHTS_NAME, folder)  # the manifest is written last
    with pytest.raises(RegistryNotFoundError, match="cs3g models add"):
        registry.get(student.name)
    assert student.name not in {entry.model_id for entry in registry.list()}


def test_the_first_lineage_of_a_model_stays(registry: Registry, student: Path) -> None:
    parent = SHIPPED_STUDENT.model_id
    first = Lineage(model_id=student.name, parent_id=parent, job_id="a", data_digest="sha256:0", created_ns=7)
    registry.add(student, first)
    registry.add(student, Lineage(model_id=student.name, job_id="b"))
    assert registry.lineage(student.name) == first
    # The shipped student's own parent is known by its id only.
    assert [found.model_id for found in registry.ancestry(student.name)] == [student.name, parent]
    with pytest.raises(RegistryError, match="lineage is of model"):
        registry.add(student, Lineage(model_id="f" * 16))


def test_activations_are_numbered_and_the_last_one_serves(registry: Registry, student: Path) -> None:
    registry.add(student)
    first = registry.activate("u", "student", SHIPPED_STUDENT.model_id)
    second = registry.activate("u", "student", student.name, since_ts_close=5, expected_seq=1, detail="why")
    assert (first.seq, second.seq, second.since_ts_close, second.detail) == (1, 2, 5, "why")
    assert second.sha256 == load_artifact(student).manifest.weights_sha256
    assert registry.active("u", "student") == second
    assert registry.history("u", "student") == [first, second]
    assert registry.active("other", "student") is registry.active("u", "teacher") is None
    assert registry.served() == [("u", "student")]
    assert Registry(registry.url).active("u", "student") == second  # another process sees it


def test_a_job_activates_once(registry: Registry, student: Path) -> None:
    registry.add(student)
    first = registry.activate("u", "student", student.name, job_id="job-1")
    registry.activate("u", "student", SHIPPED_STUDENT.model_id)
    assert registry.activate("u", "student", student.name, job_id="job-1", expected_seq=0) == first
    assert len(registry.history("u", "student")) == 2


def test_who_did_not_see_the_last_activation_gets_a_conflict(registry: Registry) -> None:
    registry.activate("u", "student", SHIPPED_STUDENT.model_id)
    with pytest.raises(
        ActivationConflictError, match="activation 1 of u/student is in force, not 0"
    ) as caught:
        registry.activate("u", "student", SHIPPED_STUDENT.model_id, expected_seq=0)
    assert caught.value.seq == 1


def test_rolling_back_goes_further_back_each_time(registry: Registry, tmp_path: Path) -> None:
    ids = [registry.add(make_student(tmp_path / "made", seed=seed)) for seed in range(4)]
    for model_id in ids[:3]:
        registry.activate("u", "student", model_id)
    assert registry.rollback("u", "student").model_id == ids[1]
    assert registry.rollback("u", "student", since_ts_close=9).model_id == ids[0]
    with pytest.raises(RegistryNotFoundError, match="before"):
        registry.rollback("u", "student")
    registry.activate("u", "student", ids[3])
    back = registry.rollback("u", "student")
    assert (back.model_id, back.seq, back.restores_seq) == (ids[0], 7, 1)
    with pytest.raises(RegistryNotFoundError):
        registry.rollback("u", "teacher")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"universe": "../u"}, "`universe`"),
        ({"role": "boss"}, "'student' or 'teacher'"),
        ({"model_id": "../x"}, "`model_id`"),
        ({"model_id": "f" * 16}, "no model"),
        ({"role": "teacher"}, "a teacher is needed"),
        ({"job_id": "a b"}, "job_id"),
        ({"since_ts_close": -1}, "since_ts_close"),
    ],
)
def test_arguments_that_break_a_rule_activate_nothing(
    registry: Registry, change: dict[str, str], words: str
) -> None:
    arguments = {"universe": "u", "role": "student", "model_id": SHIPPED_STUDENT.model_id} | change
    with pytest.raises(RegistryError, match=words) as caught:
        registry.activate(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert registry.served() == []


def test_the_first_result_of_a_job_stands(registry: Registry) -> None:
    assert registry.job("job-1") is None
    assert registry.record_job("job-1", {"state": "succeeded", "n": 1}) == {"state": "succeeded", "n": 1}
    assert registry.record_job("job-1", {"state": "failed"})["state"] == "succeeded"
    assert registry.job("job-1") == {"state": "succeeded", "n": 1}


@pytest.mark.parametrize("damage", ["torn", "moved"])
def test_a_damaged_activation_is_no_activation(tmp_path: Path, damage: str) -> None:
    registry = make_registry("folder", tmp_path)
    registry.activate("u", "student", SHIPPED_STUDENT.model_id)
    path = tmp_path / "registry" / "activations" / "u" / "student" / "00000001.json"
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:40])
    else:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"seq": 2}))
    with pytest.raises(RegistryError, match=r"00000001\.json"):
        registry.active("u", "student")


def test_a_store_that_is_full_activates_nothing_and_takes_in_nothing(tmp_path: Path, student: Path) -> None:
    FullFileSystem.room = 1_000_000
    registry = make_registry("full", tmp_path)
    before = registry.activate("u", "student", SHIPPED_STUDENT.model_id)
    FullFileSystem.room = 0
    with pytest.raises(RegistryFullError, match="nothing was activated"):
        registry.activate("u", "student", SHIPPED_STUDENT.model_id)
    with pytest.raises(RegistryFullError, match="make room"):
        registry.add(student)
    with pytest.raises(RegistryFullError):
        registry.record_job("job-1", {})
    assert registry.history("u", "student") == [before]
    assert (registry.job("job-1"), [e.source for e in registry.list()]) == (None, ["shipped", "shipped"])


@pytest.mark.parametrize("url", ["nothing-known://x", "s3://bucket/x"])
def test_a_url_that_cannot_be_opened_says_so_in_one_line(url: str) -> None:
    try:
        import s3fs  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        pass
    else:
        pytest.skip("s3fs is installed: this url can be opened")
    with pytest.raises(RegistryError, match="extra `s3`") as caught:
        Registry(url)
    assert "\n" not in str(caught.value)
