"""Saving, finding and refusing artifacts."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from cs3g_model import artifacts
from cs3g_model.artifacts import (
    WEIGHTS_NAME,
    list_artifacts,
    load_artifact,
    load_runtime,
    packed_file_bytes,
    resolve_artifact,
    save_artifact,
)
from cs3g_model.compression.integer_inputs import integer_weights
from cs3g_model.compression.layout import canonical
from cs3g_model.compression.packing import Quantization, packed_bytes, values_of
from cs3g_model.compression.quantized import store
from cs3g_model.errors import (
    ArtifactError,
    ArtifactFormatError,
    ArtifactNotFoundError,
    ArtifactTamperedError,
)
from cs3g_model.manifest import MANIFEST_NAME, Manifest
from cs3g_model.student_runtime import StudentRuntime
from tests.unit.cs3g_model.factories import (
    SMALL_STUDENT,
    SMALL_TEACHER,
    make_snapshots,
    student_module,
    teacher_module,
    tensors_of,
)


def save_student(folder: Path, seed: int = 0, **provenance: Any) -> Path:
    return save_artifact(folder, SMALL_STUDENT, tensors_of(student_module(seed=seed)), **provenance)


def rewrite_manifest(path: Path, *, new_id: bool = True, **changes: Any) -> None:
    """Change fields; with `new_id` as a careful forger would, with a matching id."""
    fields = json.loads((path / MANIFEST_NAME).read_text()) | changes
    if new_id:
        fields["model_id"] = msgspec.convert(fields | {"model_id": ""}, Manifest).computed_id()
    (path / MANIFEST_NAME).write_text(json.dumps(fields))


def test_a_saved_model_scores_as_before(tmp_path: Path) -> None:
    for config, module in ((SMALL_STUDENT, student_module()), (SMALL_TEACHER, teacher_module())):
        path = save_artifact(tmp_path, config, tensors_of(module), seed=3, metrics={"valid_ic": 0.1})
        artifact = load_artifact(path)
        assert path.name == artifact.manifest.model_id
        assert artifact.manifest.model_config() == config
        assert artifact.manifest.seed == 3
        assert artifact.manifest.parameters == sum(p.numel() for p in module.parameters())
        runtime = load_runtime(path)
        assert runtime.model_id == path.name
        scores, _ = runtime.step_many(make_snapshots(), runtime.initial_state(15))
        assert np.abs(scores).max() > 0


def test_the_same_model_is_the_same_folder_and_another_is_not(tmp_path: Path) -> None:
    first = save_student(tmp_path)
    assert save_student(tmp_path) == first
    assert save_student(tmp_path, seed=1) != first
    assert save_student(tmp_path, command="other") != first
    assert sorted(p.name[0] for p in tmp_path.iterdir()).count(".") == 0


def test_a_changed_weight_is_refused(tmp_path: Path) -> None:
    path = save_student(tmp_path)
    data = bytearray((path / WEIGHTS_NAME).read_bytes())
    data[-1] ^= 1
    (path / WEIGHTS_NAME).write_bytes(data)
    with pytest.raises(ArtifactTamperedError, match="sha256"):
        load_artifact(path)


def test_a_changed_manifest_is_refused(tmp_path: Path) -> None:
    path = save_student(tmp_path)
    rewrite_manifest(path, new_id=False, metrics={"valid_ic": 0.9})
    with pytest.raises(ArtifactTamperedError, match="hashes to"):
        load_artifact(path)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"artifact_version": 3}, "update cs3g"),
        ({"artifact_version": "2"}, "update cs3g"),
        ({"config": {"relations": True}}, r"0\.1\.0"),
        ({"feature_schema_version": 99}, "feature_schema_version"),
        ({"feature_names": ["close"]}, "other features"),
        ({"config": {"width": 0}}, "width"),
        ({"config": {"unknown": 1}}, "unknown"),
        ({"surprise": 1}, "surprise"),
        ({"role": "oracle"}, "oracle"),
    ],
)
def test_a_manifest_of_another_format_is_refused(tmp_path: Path, changes: dict, match: str) -> None:
    path = save_student(tmp_path)
    rewrite_manifest(
        path, new_id=set(changes).isdisjoint({"surprise", "role", "artifact_version"}), **changes
    )
    with pytest.raises(ArtifactFormatError, match=match):
        load_artifact(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff", "null"])
def test_a_manifest_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    path = save_student(tmp_path)
    (path / MANIFEST_NAME).write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactFormatError):
        load_artifact(path)


def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    path = save_student(tmp_path)
    (path / WEIGHTS_NAME).write_bytes(b"\x80\x04pickle")
    rewrite_manifest(path, weights_sha256=hashlib.sha256(b"\x80\x04pickle").hexdigest())
    with pytest.raises(ArtifactFormatError, match="safetensors"):
        load_artifact(path)


@pytest.mark.parametrize("damage", ["missing", "left over", "shape", "nan"])
@pytest.mark.parametrize("role", ["student", "teacher"])
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, role: str, damage: str) -> None:
    config, module = (
        (SMALL_STUDENT, student_module()) if role == "student" else (SMALL_TEACHER, teacher_module())
    )
    tensors = tensors_of(module)
    if damage == "missing":
        del tensors["inward.whole.bias"]
    elif damage == "left over":
        tensors["surprise"] = np.zeros(1, np.float32)
    elif damage == "shape":
        tensors["inward.whole.bias"] = np.zeros(99, np.float32)
    else:
        tensors["inward.whole.bias"][0] = np.nan
    with pytest.raises(ArtifactFormatError):
        load_runtime(save_artifact(tmp_path, config, tensors))


def test_names_are_found(tmp_path: Path) -> None:
    path = save_student(tmp_path)
    assert resolve_artifact(path.name, tmp_path) == path
    assert resolve_artifact(path.name[:6], tmp_path) == path
    assert resolve_artifact(str(path)) == path
    assert resolve_artifact("student", tmp_path) == path
    save_student(tmp_path, seed=1)
    with pytest.raises(ArtifactError, match="ambiguous"):
        resolve_artifact("student", tmp_path)


@pytest.mark.parametrize("name", ["ffff000011112222", "abc", "", Path("nowhere"), "./nowhere"])
def test_unknown_names_are_refused(tmp_path: Path, name: str | Path) -> None:
    with pytest.raises(ArtifactNotFoundError):
        resolve_artifact(name, tmp_path)


def save_quantized(folder: Path, **changes: int) -> Path:
    bits = {"inward": 4, "delta": 8, "state": 3, "mixer": 2, "hidden": 5, "outward": 8, "rest": 16} | changes
    tensors = canonical(SMALL_STUDENT, tensors_of(student_module()))
    quantization = Quantization(groups=bits)
    return save_artifact(folder, SMALL_STUDENT, store(tensors, bits), quantization=quantization)


def test_a_quantized_model_is_small_and_scores_as_its_rounded_weights(tmp_path: Path) -> None:
    artifact = load_artifact(save_quantized(tmp_path))
    manifest = artifact.manifest
    assert manifest.artifact_version == 2
    assert manifest.quantization is not None
    assert manifest.quantization.groups["mixer"] == 2
    size = (artifact.path / WEIGHTS_NAME).stat().st_size
    assert size == manifest.weights_bytes
    packed = sum(
        packed_bytes(tuple(e.shape), e.bits, rows=e.rows, symmetric=e.symmetric)
        for e in manifest.quantization.tensors
    )
    assert packed_file_bytes(packed) == size < packed + 100
    tensors = canonical(SMALL_STUDENT, tensors_of(student_module()))
    # The folded matrix and its gain take no bytes.
    assert manifest.parameters == sum(a.size for a in tensors.values()) - 6 * 12 - 6
    rounded = store(tensors, manifest.quantization.groups)
    for name, array in artifact.tensors.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, values_of(rounded[name]))
        np.testing.assert_array_equal(array, values_of(artifact.stored[name]))
    runtime, direct = load_runtime(artifact.path), StudentRuntime(SMALL_STUDENT, artifact.tensors, "id")
    scores, _ = runtime.step_many(make_snapshots(), runtime.initial_state(15))
    expected, _ = direct.step_many(make_snapshots(), direct.initial_state(15))
    np.testing.assert_array_equal(scores, expected)
    assert save_quantized(tmp_path) == artifact.path
    assert save_quantized(tmp_path, hidden=6) != artifact.path


def test_rounded_inputs_are_served_as_saved(tmp_path: Path) -> None:
    bits = {"inward": 8, "delta": 8, "state": 8, "mixer": 8, "hidden": 8, "outward": 8, "rest": 16}
    stored = store(canonical(SMALL_STUDENT, tensors_of(student_module())), bits)
    grids = {"u": (2.0**-6, 10), "parts": (2.0**-5, 128)}
    path = save_artifact(
        tmp_path, SMALL_STUDENT, stored, quantization=Quantization(groups=bits, activations=grids)
    )
    plain = save_artifact(tmp_path, SMALL_STUDENT, stored, quantization=Quantization(groups=bits))
    weights = integer_weights(SMALL_STUDENT, stored, grids)
    values = {name: values_of(t) for name, t in stored.items()}
    scores = []
    for runtime in (load_runtime(path), StudentRuntime(SMALL_STUDENT, values, "id", weights)):
        scores.append(runtime.step_many(make_snapshots(), runtime.initial_state(15))[0])
    np.testing.assert_array_equal(*scores)
    runtime = load_runtime(plain)
    assert (runtime.step_many(make_snapshots(), runtime.initial_state(15))[0] != scores[0]).any()


def test_a_changed_code_or_index_is_refused(tmp_path: Path) -> None:
    path = save_quantized(tmp_path)
    data = (path / WEIGHTS_NAME).read_bytes()
    (path / WEIGHTS_NAME).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ArtifactTamperedError, match="sha256"):
        load_artifact(path)
    (path / WEIGHTS_NAME).write_bytes(data)
    quantization = json.loads((path / MANIFEST_NAME).read_text())["quantization"]
    rewrite_manifest(path, quantization=quantization | {"tensors": quantization["tensors"][1:]})
    with pytest.raises(ArtifactFormatError, match="index describes"):
        load_artifact(path)
    rewrite_manifest(path, quantization=None)
    with pytest.raises(ArtifactFormatError, match="lack"):
        load_runtime(path)


def test_packed_weights_must_be_one_tensor_of_bytes(tmp_path: Path) -> None:
    path = save_student(tmp_path)
    rewrite_manifest(path, quantization={"groups": {}})
    with pytest.raises(ArtifactFormatError, match="one tensor"):
        load_artifact(path)


def test_version_1_is_read_and_its_id_is_the_old_one(tmp_path: Path) -> None:
    path = save_student(tmp_path)
    fields = json.loads((path / MANIFEST_NAME).read_text()) | {"artifact_version": 1, "model_id": ""}
    del fields["quantization"]
    # Version 1 hashed its fields in alphabetical order, in msgspec's compact JSON.
    payload = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    fields["model_id"] = hashlib.sha256(payload).hexdigest()[:16]
    (path / MANIFEST_NAME).write_text(json.dumps(fields))
    artifact = load_artifact(path)
    assert artifact.manifest.model_id == fields["model_id"]
    assert artifact.manifest.quantization is None
    # Nobody can slip a quantization past the old id.
    (path / MANIFEST_NAME).write_text(json.dumps(fields | {"quantization": {"groups": {}}}))
    with pytest.raises(ArtifactTamperedError, match="hashes to"):
        load_artifact(path)


def test_a_failed_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts.os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        save_student(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_shipped_artifacts_load_and_are_small() -> None:
    shipped = list_artifacts()
    assert sorted(manifest.role for _, manifest in shipped) == ["student", "teacher"]
    student, teacher = (manifest for _, manifest in shipped)
    assert f"--teacher models/{teacher.model_id}" in student.command
    assert sum(f.stat().st_size for path, _ in shipped for f in path.iterdir()) < 3_000_000
    for path, manifest in shipped:
        runtime = load_runtime(manifest.role)
        assert runtime.model_id == path.name == manifest.model_id
        scores, _ = runtime.step_many(make_snapshots(), runtime.initial_state(15))
        assert np.abs(scores).max() > 0


def test_serving_a_quantized_student_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from cs3g_model.artifacts import load_runtime;"
        f" load_runtime({str(save_quantized(tmp_path))!r}); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_serving_a_student_imports_no_torch() -> None:
    code = (
        "import sys; from cs3g_model.artifacts import load_runtime; load_runtime('student');"
        " sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
