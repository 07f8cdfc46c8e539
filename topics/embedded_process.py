"""The noida-db process: where its binary is, how it is started, what its log says, how it ends."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Final

from topics.errors import BrokerStartFailed, PortInUse
from topics.parent_death import dying_with_parent

_LOG_TAIL_BYTES: Final = 2000
_POLL_S: Final = 0.02

_SAVE_NAME: Final = "kafka.tmp"
"""What noida-db writes all that it holds to, about once a second, before it gives the file its name."""

# Asks for the brokers and for no topic: Metadata (API 3) version 1, correlation id 7, no client id.
_METADATA_REQUEST: Final = bytes.fromhex("0000000e 0003 0001 00000007 ffff 00000000")
_CORRELATION: Final = bytes.fromhex("00000007")


def find_binary() -> Path:
    """Return noida-db's server binary, made executable if its wheel left it otherwise.

    The Python command of the same name only launches it and does not pass signals on.

    Raises
    ------
    BrokerStartFailed
        noida-db is not installed.
    """
    try:
        binary = Path(str(files("noida_db").joinpath("noida-db")))
    except ModuleNotFoundError as error:
        raise BrokerStartFailed(
            "the embedded broker needs noida-db: pip install 'cs3g[embedded]'; or set CS3G_BOOTSTRAP_SERVERS"
            " to a Kafka of your own"
        ) from error
    if not os.access(binary, os.X_OK):
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return binary


def free_port(host: str) -> int:
    """Return a port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free_port(host: str, port: int) -> None:
    """Refuse a port that another process listens on.

    Raises
    ------
    PortInUse
        It does.
    """
    with socket.socket() as probe:
        # As servers do it, so that a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUse(
                f"cannot listen on {host}:{port}: {error.strerror}; stop what listens there, or choose"
                " another port (0 for any free one)"
            ) from error


def make_data_dir(data_dir: Path) -> Path:
    """Return the data folder, absolute, made if it was not there.

    Raises
    ------
    BrokerStartFailed
        It cannot be made or written to.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        log_path(data_dir).open("ab").close()
    except OSError as error:
        raise BrokerStartFailed(f"cannot keep a broker's data in {str(data_dir)!r}: {error}") from error
    return data_dir.resolve()


def withhold_saves(data_dir: Path) -> bool:
    """Keep a broker that is not started yet from saving what it holds; return whether the system can do that.

    noida-db writes everything as JSON again and again, which takes most of a core and stops all requests for
    milliseconds; it has no option for that. A pipe without a reader in the file's place makes the thread that saves
    wait for ever. The broker then ends by SIGKILL only, since on SIGTERM it would save.
    """
    if not hasattr(os, "mkfifo"):
        return False
    os.mkfifo(data_dir / _SAVE_NAME)
    return True


def spawn(
    binary: Path,
    data_dir: Path,
    host: str,
    port: int,
    *,
    detached: bool,
    end_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start the broker with its output in `data_dir`/broker.log.

    Parameters
    ----------
    detached
        Outlive this process, in a session of its own; otherwise die with it where the system can do that.
    end_signal
        What ends the broker when this process dies.
    """
    command = [
        str(binary),
        "start",
        *("--data-dir", str(data_dir)),
        *("--host", host),
        *("--only", "kafka"),
        *("--kafka-port", str(port)),
    ]
    if not detached:
        command = dying_with_parent(command, end_signal)
    with log_path(data_dir).open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def log_path(data_dir: Path) -> Path:
    """Return where the broker's output goes."""
    return data_dir / "broker.log"


def log_tail(data_dir: Path) -> str:
    """Return the end of the broker's output."""
    path = log_path(data_dir)
    return path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip() if path.exists() else ""


def answers(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Return whether a Kafka broker answers a metadata request."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as link:
            link.sendall(_METADATA_REQUEST)
            with link.makefile("rb") as reply:
                header = reply.read(8)
    except OSError:
        return False
    return header[4:] == _CORRELATION


def await_answer(
    host: str, port: int, data_dir: Path, timeout_s: float, ended: Callable[[], int | None]
) -> None:
    """Return once the broker answers.

    Raises
    ------
    BrokerStartFailed
        It ended, or does not answer within `timeout_s`; the message ends with its log.
    """
    deadline = time.monotonic() + timeout_s
    while not answers(host, port):
        status = ended()
        if status is not None:
            raise BrokerStartFailed(
                f"the embedded broker ended with status {status} before it answered at {host}:{port};"
                f" its log in {log_path(data_dir)} ends:\n{log_tail(data_dir)}"
            )
        if time.monotonic() > deadline:
            raise BrokerStartFailed(
                f"the embedded broker does not answer at {host}:{port} after {timeout_s:g} s;"
                f" its log in {log_path(data_dir)} ends:\n{log_tail(data_dir)}"
            )
        time.sleep(_POLL_S)
