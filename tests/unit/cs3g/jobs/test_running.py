"""A process under watch: lines, time-out, stop, and that nothing of its group stays behind."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from pathlib import Path

import pytest

from cs3g.jobs.running import Ended, run_process
from cs3g.jobs.spec import JobEvent


async def run(
    code: str, log: Path, *, timeout_s: float = 30.0, stop: asyncio.Event | None = None, on_event=None
):
    events: list[JobEvent] = []
    ended = await run_process(
        [sys.executable, "-c", code],
        log,
        timeout_s=timeout_s,
        on_event=on_event or events.append,
        stop=stop or asyncio.Event(),
        grace_s=0.3,
    )
    return ended, events


def ends(pid: int, *, within_s: float) -> bool:
    """Wait for the end of a process that is no child of ours, which may stay a zombie."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watch], [], [], within_s)[0])
    finally:
        os.close(watch)


async def test_events_and_the_rest_are_told_apart(tmp_path: Path) -> None:
    code = (
        'import sys; print(\'{"progress": 0.5, "detail": "x"}\', flush=True); print(\'noise\', flush=True);'
        "print('last words\\n', file=sys.stderr); sys.exit(3)"
    )
    ended, events = await run(code, tmp_path / "log")
    assert ended == Ended("exited", 3, "last words")
    assert events == [JobEvent(progress=0.5, detail="x")]
    assert (tmp_path / "log.out").read_text() == "noise\n"


async def test_a_process_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(p.pid)); time.sleep(600)"
    )
    ended, _ = await run(code, tmp_path / "log", timeout_s=1.5)
    assert (ended.how, ended.status) == ("timeout", -9)
    child = int((tmp_path / "child").read_text())
    assert await asyncio.to_thread(ends, child, within_s=20.0)


async def test_a_stop_ends_it_politely(tmp_path: Path) -> None:
    stop = asyncio.Event()
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5));"
        'print(\'{"progress": 0.1, "detail": "up"}\', flush=True); time.sleep(600)'
    )
    ended, _ = await run(code, tmp_path / "log", stop=stop, on_event=lambda event: stop.set())
    assert (ended.how, ended.status) == ("stopped", 5)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups are POSIX")
async def test_a_process_notices_that_its_worker_is_gone(tmp_path: Path) -> None:
    code = (
        "import threading; from cs3g.jobs.process import end_with_parent;"
        'print(\'{"progress": 0, "detail": "up"}\', flush=True); end_with_parent()'
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readline()
    process.stdin.close()  # what the end of the worker does
    async with asyncio.timeout(20):
        assert await process.wait() == 1
