"""A job has one result, whoever else reports on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.registry import RegistryError, RegistryTamperedError
from pipeline.registry.job_results import JobResults
from pipeline.registry.store import Store


def test_the_first_result_of_a_job_stands(tmp_path: Path) -> None:
    results = JobResults(Store(tmp_path))
    assert results.of("job-1") is None
    assert results.record("job-1", {"state": "succeeded", "n": 1}) == {"state": "succeeded", "n": 1}
    assert JobResults(Store(tmp_path)).record("job-1", {"state": "failed"}) == {"state": "succeeded", "n": 1}
    assert results.of("job-1") == {"state": "succeeded", "n": 1}


@pytest.mark.parametrize("damage", [b'{"state": "succ', b"[1]", b"\xff\xfe"])
def test_a_damaged_result_is_named(tmp_path: Path, damage: bytes) -> None:
    results = JobResults(Store(tmp_path))
    results.record("job-1", {"state": "succeeded"})
    (tmp_path / "jobs" / "job-1.json").write_bytes(damage)
    with pytest.raises(RegistryTamperedError, match=r"job-1\.json is no job's result"):
        results.of("job-1")


def test_an_id_that_would_leave_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="`job_id`"):
        JobResults(Store(tmp_path)).record("../job", {})
    assert list(tmp_path.iterdir()) == []
