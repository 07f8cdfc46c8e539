"""Worker processes that a command owns: started with a log each, watched, and always stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pipeline.errors import PipelineError
from topics.parent_death import dying_with_parent

STOP_GRACE_S: Final = 10.0
"""How long a worker may take to leave its group before it is killed."""

LOG_TAIL_LINES: Final = 15


class WorkerDied(PipelineError, RuntimeError):
    """A worker process ended by itself."""


class WorkerProcesses:
    """Workers started by this process, stopped when the context ends; on Linux also when the process is killed.

    Parameters
    ----------
    log_dir
        Folder that gets `<name>.log` of each worker.
    environment
        Added to this process' environment for every worker.
    """

    def __init__(self, log_dir: Path, environment: Mapping[str, str]) -> None:
        self._log_dir = log_dir
        self._environment = {**os.environ, **environment}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Start `cs3g ARGUMENTS` with its output in the log of that name."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        with self.log_path(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                dying_with_parent([sys.executable, "-m", "cs3g", *arguments], signal.SIGTERM),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
            )

    def kill(self, name: str) -> None:
        """End a worker at once, as a crash would (SIGKILL)."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def check(self) -> None:
        """Raise when a worker has ended.

        Raises
        ------
        WorkerDied
            With the end of its log.
        """
        for name, process in self._processes.items():
            status = process.poll()
            if status is not None:
                log = self.log_path(name)
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
                raise WorkerDied(f"worker {name!r} ended with status {status}; end of {log}:\n{tail}")

    def log_path(self, name: str) -> Path:
        """Return where a worker writes its output."""
        return self._log_dir / f"{name}.log"

    def stop(self) -> None:
        """Ask every worker to stop, kill those that have not after the grace period."""
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_GRACE_S
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
