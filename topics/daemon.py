"""An embedded broker that outlives the command that started it, found again through a state file.

The state file names the process and when it started, so that a process id that was given to somebody else
since is never signalled.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from topics import embedded_process as process
from topics.embedded import START_TIMEOUT_S, STOP_TIMEOUT_S
from topics.errors import BrokerError, BrokerStartFailed

_STATE_NAME: Final = "cs3g-broker.json"
_POLL_S: Final = 0.05


class BrokerState(msgspec.Struct, frozen=True, kw_only=True):
    """A broker in the background.

    Attributes
    ----------
    started_ticks
        When the process started, in the kernel's own count since boot; -1 where the system does not tell.
    """

    pid: int
    host: str
    port: int
    data_dir: str
    started_ticks: int

    @property
    def bootstrap(self) -> str:
        """The broker's address, host:port."""
        return f"{self.host}:{self.port}"


def start_daemon(
    data_dir: Path, *, host: str = "127.0.0.1", port: int = 0, start_timeout_s: float = START_TIMEOUT_S
) -> BrokerState:
    """Start a broker in the background and return once it answers.

    Raises
    ------
    BrokerError
        One runs on this data folder already.
    PortInUse
        Another process listens on the port.
    BrokerStartFailed
        noida-db is not installed, ended, does not answer in time, or the data folder cannot be used.
    """
    running = read_daemon(data_dir)
    if running is not None:
        raise BrokerError(
            f"a broker runs on {str(data_dir)!r} already, at {running.bootstrap} (process {running.pid})"
        )
    binary = process.find_binary()
    port = port or process.free_port(host)
    process.require_free_port(host, port)
    data_dir = process.make_data_dir(data_dir)
    child = process.spawn(binary, data_dir, host, port, detached=True)
    try:
        process.await_answer(host, port, data_dir, start_timeout_s, child.poll)
    except BrokerStartFailed:
        child.kill()
        child.wait()
        raise
    state = BrokerState(
        pid=child.pid,
        host=host,
        port=port,
        data_dir=str(data_dir),
        started_ticks=_started_ticks(child.pid),
    )
    _write_state(data_dir, state)
    # It is meant to run on: without this the interpreter would warn about a child that still runs.
    child.returncode = 0
    return state


def read_daemon(data_dir: Path) -> BrokerState | None:
    """Return the broker that runs on a data folder, None if none does.

    Raises
    ------
    BrokerError
        The state file is damaged.
    """
    path = data_dir / _STATE_NAME
    try:
        state = msgspec.json.decode(path.read_bytes(), type=BrokerState)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise BrokerError(f"{path} is damaged ({error}): remove it when no broker runs") from error
    return state if _is_alive(state) else None


def stop_daemon(data_dir: Path, *, timeout_s: float = STOP_TIMEOUT_S) -> BrokerState | None:
    """Stop the broker that runs on a data folder; its data is kept.

    Returns
    -------
    The broker stopped, None if none ran.

    Raises
    ------
    BrokerError
        It does not end in time.
    """
    state = read_daemon(data_dir)
    if state is not None:
        os.kill(state.pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        while _is_alive(state):
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"broker process {state.pid} did not end within {timeout_s:g} s after SIGTERM"
                )
            time.sleep(_POLL_S)
    (data_dir / _STATE_NAME).unlink(missing_ok=True)
    return state


def _write_state(data_dir: Path, state: BrokerState) -> None:
    path = data_dir / _STATE_NAME
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    partial.replace(path)


def _is_alive(state: BrokerState) -> bool:
    with suppress(ChildProcessError):
        # Reaps the process if it is our own child and has ended.
        os.waitpid(state.pid, os.WNOHANG)
    try:
        os.kill(state.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return _started_ticks(state.pid) == state.started_ticks


def _started_ticks(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return -1
    # Field 22, counted after the command's name, which may itself hold blanks and parentheses.
    fields = stat.rpartition(")")[2].split()
    return -1 if fields[0] == "Z" else int(fields[19])
