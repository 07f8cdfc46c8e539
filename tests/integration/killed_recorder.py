"""A recorder that ends as by kill -9; a module of its own, so that its process starts quickly."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from replay.archive.record import RecordConfig, Recorded, record_topics


def record_until_killed(bootstrap: str, root: Path, prefix: str, steps: int) -> None:
    """Record in this process, and end it after some steps."""
    left = steps

    def on_progress(_: Recorded) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(
        record_topics(
            bootstrap, root, RecordConfig(prefix=prefix, commit_bytes=4_000), on_progress=on_progress
        )
    )
