"""Worker processes that a command owns: noticed when they end, and gone when it ends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cs3g.processes import WorkerDied, WorkerProcesses


def check_until_deadline(processes: WorkerProcesses) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        processes.check()
        time.sleep(0.05)


def test_a_worker_that_ends_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    with WorkerProcesses(tmp_path, {}) as processes:
        processes.start("student-1", ["worker", "--window", "0s"])
        with pytest.raises(WorkerDied) as died:
            check_until_deadline(processes)
    text = str(died.value)
    assert "worker 'student-1' ended with status 1" in text
    assert str(tmp_path / "student-1.log") in text
    assert "`window_size_ns` (=0) must be > 0" in text


def test_the_environment_reaches_the_worker(tmp_path: Path) -> None:
    with WorkerProcesses(tmp_path, {"CS3G_UNIVERSE": "a/b"}) as processes:
        processes.start("student-1", ["worker"])
        with pytest.raises(WorkerDied, match="'a/b'"):
            check_until_deadline(processes)
