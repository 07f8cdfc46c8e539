"""Supervise noida-db, a small broker that speaks Kafka's protocol: for demo, tests and development only.

It holds all its data in memory and never expires a dead group member (`evict`). With a data folder of its own it loses
the last half second when killed with -9, and keeps everything when stopped by SIGTERM. Without one nothing is kept,
and nothing is saved on the way either, which is most of what it costs.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from topics import embedded_process as process
from topics.errors import BrokerError, BrokerStartFailed
from topics.groups import GroupMember, evict_members

NOTICE: Final = "embedded broker (noida-db): for demo, tests and development, not for production"
START_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 20.0


class EmbeddedBroker:
    """A broker that lives as long as this object's context; start it from the main thread.

    Mutates self. On Linux the broker dies with the thread that started it: a crash leaves none behind.

    Parameters
    ----------
    port
        0 for any free one.
    data_dir
        Kept when given; None for a temporary folder that goes with the broker, to which no messages are saved.

    Examples
    --------
    >>> with EmbeddedBroker() as broker:  # doctest: +SKIP
    ...     print(broker.bootstrap)
    127.0.0.1:41873
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        data_dir: Path | None = None,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self._host = host
        self._asked_port = port
        self._asked_data_dir = data_dir
        self._start_timeout_s = start_timeout_s
        self._port = port
        self._data_dir: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._end_signal = signal.SIGTERM

    @property
    def bootstrap(self) -> str:
        """The broker's address, host:port.

        Raises
        ------
        BrokerError
            It was not started.
        """
        if self._process is None:
            raise BrokerError("the embedded broker is not running: call start() first")
        return f"{self._host}:{self._port}"

    @property
    def pid(self) -> int | None:
        """The broker's process id, None when not running."""
        return None if self._process is None else self._process.pid

    @property
    def is_healthy(self) -> bool:
        """Whether the process runs and answers a metadata request."""
        return (
            self._process is not None
            and self._process.poll() is None
            and process.answers(self._host, self._port)
        )

    def start(self) -> Self:
        """Start the broker and return once it answers.

        Raises
        ------
        PortInUse
            Another process listens on the port.
        BrokerStartFailed
            noida-db is not installed, ended, does not answer in time, or the data folder cannot be used.
        """
        if self._process is not None:
            raise BrokerError(f"the embedded broker already runs at {self.bootstrap}")
        binary = process.find_binary()
        self._port = self._asked_port or process.free_port(self._host)
        process.require_free_port(self._host, self._port)
        self._data_dir = process.make_data_dir(
            self._asked_data_dir or Path(tempfile.mkdtemp(prefix="cs3g-broker-"))
        )
        saves = self._asked_data_dir is not None or not process.withhold_saves(self._data_dir)
        self._end_signal = signal.SIGTERM if saves else signal.SIGKILL
        self._process = process.spawn(
            binary, self._data_dir, self._host, self._port, detached=False, end_signal=self._end_signal
        )
        try:
            process.await_answer(
                self._host, self._port, self._data_dir, self._start_timeout_s, self._process.poll
            )
        except BrokerStartFailed:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the broker, its data kept if the folder was given. Does nothing when not running.

        Raises
        ------
        BrokerError
            It did not end in time and was killed: the last half second may be lost.
        """
        running, self._process = self._process, None
        if running is None:
            return
        running.send_signal(self._end_signal)
        try:
            running.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            running.kill()
            running.wait()
            raise BrokerError(
                f"the embedded broker did not end within {STOP_TIMEOUT_S:g} s and was killed"
            ) from error
        finally:
            if self._asked_data_dir is None and self._data_dir is not None:
                shutil.rmtree(self._data_dir, ignore_errors=True)

    async def evict(self, group_id: str, client_id: str) -> list[GroupMember]:
        """Put a dead process's members out of a group, so that its partitions move at once.

        Returns
        -------
        The members put out.

        Raises
        ------
        BrokerError
            The broker refused or is not running.
        """
        return await evict_members(self.bootstrap, group_id, client_id)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
