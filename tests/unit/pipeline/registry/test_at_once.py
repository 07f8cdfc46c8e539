"""Several writers at once, a disk without room, and writers that are killed: one wins, and nothing is half there."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from cs3g_model.artifacts import SHIPPED, list_artifacts
from pipeline.registry import ActivationConflictError, Registry, RegistryFullError
from pipeline.registry.store import Store
from tests.unit.pipeline.registry.stores import KINDS, make_registry, make_student

STUDENT = next(manifest.model_id for _, manifest in list_artifacts(SHIPPED) if manifest.role == "student")
N_AT_ONCE = 8

ACTIVATE = """
import sys
from pipeline.registry import ActivationConflictError, Registry
registry = Registry(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    print(registry.activate("u", "student", sys.argv[2], expected_seq=0, detail=sys.argv[3]).detail)
except ActivationConflictError:
    print("conflict")
"""

CREATE_FOREVER = """
import sys
from pipeline.registry.store import Store
store = Store(sys.argv[1])
print("ready", flush=True)
for number in range(10**9):
    store.create(f"jobs/{number}.json", b"x" * 100_000)
"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("job_id", [None, "job-1"])
def test_of_activations_by_threads_exactly_one_is_made(tmp_path: Path, kind: str, job_id: str | None) -> None:
    registry = make_registry(kind, tmp_path)
    together = threading.Barrier(N_AT_ONCE)
    outcomes: list[str] = []

    def activate(number: int) -> None:
        together.wait()
        try:
            made = registry.activate(
                "u", "student", STUDENT, expected_seq=0, job_id=job_id, detail=str(number)
            )
            outcomes.append(made.detail)
        except ActivationConflictError:
            outcomes.append("conflict")

    threads = [threading.Thread(target=activate, args=(number,)) for number in range(N_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (stands,) = registry.history("u", "student")
    if job_id is None:
        assert sorted(outcomes) == sorted([stands.detail, *["conflict"] * (N_AT_ONCE - 1)])
    else:  # workers of one job all learn of the one activation
        assert outcomes == [stands.detail] * N_AT_ONCE


def test_of_activations_by_processes_exactly_one_is_made(tmp_path: Path) -> None:
    registry = make_registry("folder", tmp_path)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ACTIVATE, registry.url, STUDENT, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outcomes = [process.communicate()[0].strip() for process in processes]
    (stands,) = registry.history("u", "student")
    assert sorted(outcomes) == sorted([stands.detail, "conflict", "conflict"])


def test_a_writer_that_is_killed_leaves_whole_files_only(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CREATE_FOREVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    store = Store(tmp_path)
    while len(store.names("jobs")) < 20:
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    names = store.names("jobs")
    assert len(names) >= 20
    assert {len(store.read(f"jobs/{name}", 1 << 20)) for name in names} == {100_000}


@pytest.mark.parametrize("fails", ["fsync", "link", "replace"])
def test_a_disk_without_room_leaves_what_was_active(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    registry = make_registry("folder", tmp_path)
    student = make_student(tmp_path / "made")
    before = registry.activate("u", "student", STUDENT)

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, fails, full)
        if fails != "replace":
            with pytest.raises(RegistryFullError, match="No space left on device"):
                registry.activate("u", "student", STUDENT)
            with pytest.raises(RegistryFullError):
                registry.record_job("job-1", {})
        if fails != "link":
            with pytest.raises(RegistryFullError, match="nothing was activated"):
                registry.add(student)
    assert registry.history("u", "student") == [before]
    assert student.name not in {entry.model_id for entry in registry.list()} or fails == "link"
    left = [path.name for path in (tmp_path / "registry").rglob("*") if path.is_file()]
    assert not [name for name in left if name.startswith(".writing-")]
    assert registry.activate("u", "student", registry.add(student)).seq == 2


def test_what_others_write_is_seen_by_a_registry_that_has_looked_before(tmp_path: Path) -> None:
    one, two = Registry(tmp_path / "r"), Registry(tmp_path / "r")
    assert one.active("u", "student") is None
    made = two.activate("u", "student", STUDENT)
    assert one.active("u", "student") == made
