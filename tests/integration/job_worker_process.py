"""A job worker in a process of its own, so that a test can kill it: arguments are JSON.

With a `moment` it kills itself right after that step of a job, as a power cut there would.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from cs3g.jobs.worker import JobWorker
from pipeline.config import load_config
from pipeline.registry import Registry
from tests.integration.job_workers import settings


class DyingRegistry(Registry):
    """Kills its process with SIGKILL after a step."""

    moment = ""

    def add(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        made = super().add(*args, **kwargs)
        self._at("added")
        return made

    def activate(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        activation = super().activate(*args, **kwargs)
        self._at("activated")
        return activation

    def record_job(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        result = super().record_job(*args, **kwargs)
        self._at("recorded")
        return result

    def _at(self, moment: str) -> None:
        if moment == self.moment:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    told = json.loads(sys.argv[1])
    registry = DyingRegistry(Path(told["registry"]))
    registry.moment = told["moment"]
    config = load_config(**told["config"])
    worker = JobWorker(config, registry, settings(Path(told["spool"])), told["name"])
    os.write(1, b"started\n")
    asyncio.run(worker.run(asyncio.Event()))


if __name__ == "__main__":
    main()
