"""`python -m cs3g.jobs.on_ray FOLDER [ADDRESS]`: one job as a task of a Ray cluster.

The cluster need not share a disk: the folder's files travel as bytes, the task's lines and results come back the same
way. To whoever started it, this is a process like `cs3g.jobs.process`.
"""

from __future__ import annotations

import importlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cs3g.jobs.process import WATCHED, end_with_parent

__all__ = ["main", "packed", "unpacked"]

RESULTS: Final = ("answer.json", "out")


def packed(folder: Path, names: tuple[str, ...] | None = None) -> bytes:
    """Return the files below a folder, or those of some names in it, as one tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(folder.iterdir()):
            if names is None or path.name in names:
                tar.add(path, path.name)
    return buffer.getvalue()


def unpacked(data: bytes, folder: Path) -> None:
    """Write what `packed` returned; nothing may land outside of the folder."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(folder, filter="data")


def run_remotely(data: bytes) -> Iterator[bytes]:
    """Do a job on the cluster: yield its lines, and at last its results behind an empty line."""
    with tempfile.TemporaryDirectory(prefix="cs3g-job-") as name:
        folder = Path(name)
        unpacked(data, folder)
        # A process of its own here too, so that the weights do not depend on what Ray does to a worker's threads.
        with subprocess.Popen(
            [sys.executable, "-m", "cs3g.jobs.process", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", WATCHED: "1"},
        ) as process:
            assert process.stdout is not None  # noqa: S101  # it is a pipe
            try:
                for line in process.stdout:  # noqa: UP028  # Ray drives a generator with `send`
                    yield line
            finally:
                if process.poll() is None and sys.exc_info()[0] is not None:
                    process.kill()
        yield b""
        yield process.returncode.to_bytes(4, "big", signed=True) + packed(folder, RESULTS)


def main(folder: Path, address: str | None = None) -> int:
    """Do the job of a folder on Ray; returns the exit status of its process there."""
    if os.environ.get(WATCHED) == "1":
        threading.Thread(target=end_with_parent, daemon=True).start()
    ray: Any = importlib.import_module("ray")  # an optional extra, which types must not need either
    # By its name, for the cluster's workers: what is defined in __main__ would travel as code.
    from cs3g.jobs.on_ray import run_remotely

    local: dict[str, Any] = {} if address else {"num_cpus": 1, "include_dashboard": False}
    ray.init(address=address, log_to_driver=False, logging_level="ERROR", **local)
    task = ray.remote(num_cpus=1, max_retries=0)(run_remotely).options(num_returns="streaming")
    ended = False
    for reference in task.remote(packed(folder)):
        line: bytes = ray.get(reference)
        if ended:
            unpacked(line[4:], folder)
            return int.from_bytes(line[:4], "big", signed=True)
        ended = not line
        if line:
            os.write(1, line)
    return 1


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m cs3g.jobs.on_ray FOLDER [ADDRESS]")
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
