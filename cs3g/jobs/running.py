"""A job's process under watch: its progress, its time-out, its cancellation, its crash."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final, Literal

import msgspec

from cs3g.jobs.process import WATCHED
from cs3g.jobs.spec import JobEvent

__all__ = ["Ended", "run_process"]

GRACE_S: Final = 5.0
"""Between SIGTERM and SIGKILL."""

_LOG_TAIL_BYTES: Final = 4000


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended.

    Attributes
    ----------
    how
        `exited`: by itself, with any status; `timeout` and `stopped`: it was made to.
    status
        Exit status, negative for a signal.
    tail
        The last line of its log that says something.
    """

    how: Literal["exited", "timeout", "stopped"]
    status: int
    tail: str = ""


async def run_process(
    command: Sequence[str],
    log: Path,
    *,
    timeout_s: float,
    on_event: Callable[[JobEvent], None],
    stop: asyncio.Event,
    grace_s: float = GRACE_S,
) -> Ended:
    """Run a command until it ends, its time is over, or `stop` is set.

    Parameters
    ----------
    command
        Writes `JobEvent` lines to stdout.
    log
        Gets its stderr; a file beside it, `<name>.out`, gets what it writes to stdout besides.
    timeout_s
        Then it is stopped.
    on_event
        Called with each event.
    stop
        Set it to have the process stopped: SIGTERM, and SIGKILL after `grace_s`, to all of its group.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", WATCHED: "1"}
    with log.open("wb") as errors, log.with_name(f"{log.name}.out").open("wb", buffering=0) as rest:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,  # its end tells the process that this one is gone
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=environment,
            start_new_session=True,
        )
        reading = asyncio.create_task(_read_events(process, rest, on_event))
        stopping = asyncio.create_task(stop.wait())
        how: Literal["exited", "timeout", "stopped"] = "exited"
        try:
            done, _ = await asyncio.wait(
                {reading, stopping}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if reading not in done:
                how = "stopped" if stopping in done else "timeout"
                await _end(process, grace_s)
            await process.wait()
        finally:
            stopping.cancel()
            reading.cancel()
            _signal(process, signal.SIGKILL)  # whatever of the group is left
            if process.stdin is not None:
                process.stdin.close()
            await process.wait()
            await asyncio.gather(reading, stopping, return_exceptions=True)
    assert process.returncode is not None  # noqa: S101  # it was waited for
    return Ended(how, process.returncode, _tail(log))


async def _read_events(
    process: asyncio.subprocess.Process, rest: FileIO, on_event: Callable[[JobEvent], None]
) -> None:
    assert process.stdout is not None  # noqa: S101  # it is a pipe
    async for line in process.stdout:
        try:
            event = msgspec.json.decode(line, type=JobEvent)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            rest.write(line)
        else:
            on_event(event)


async def _end(process: asyncio.subprocess.Process, grace_s: float) -> None:
    _signal(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(grace_s):
            await process.wait()
    except TimeoutError:
        _signal(process, signal.SIGKILL)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    # The group outlives its leader: torchrun's ranks must not stay behind.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _LOG_TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
