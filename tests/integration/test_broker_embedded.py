"""The embedded broker's life: it starts, answers, keeps its data, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cs3g.commands import broker as broker_command
from tests.integration.broker_topics import make_topics, send
from topics.daemon import read_daemon, start_daemon, stop_daemon
from topics.embedded import EmbeddedBroker
from topics.embedded_process import answers, log_path
from topics.envelope import Message
from topics.errors import BrokerError, BrokerStartFailed, PortInUse, TopicMismatch
from topics.groups import group_lag

pytestmark = pytest.mark.broker

DEADLINE_S = 20


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def address(bootstrap: str) -> tuple[str, int]:
    host, _, port = bootstrap.rpartition(":")
    return host, int(port)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    # A process that ended and that nobody has waited for yet is a zombie.
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_it_answers_while_in_its_context_and_is_gone_after() -> None:
    with EmbeddedBroker() as broker:
        bootstrap, pid = broker.bootstrap, broker.pid
        assert broker.is_healthy
        assert pid is not None
        assert answers(*address(bootstrap))
    assert not broker.is_healthy
    assert not answers(*address(bootstrap))
    assert not is_running(pid)
    with pytest.raises(BrokerError, match="not running"):
        _ = broker.bootstrap


def test_a_given_folder_is_kept_and_a_temporary_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with EmbeddedBroker(data_dir=tmp_path / "kept"):
        assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with EmbeddedBroker():
        assert len(list(tmp_path.iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert log_path(tmp_path / "kept").exists()


async def test_what_was_sent_is_there_after_a_restart(tmp_path: Path) -> None:
    with EmbeddedBroker(data_dir=tmp_path) as broker:
        names = await make_topics(broker.bootstrap, "kept")
        await send(broker.bootstrap, names.ticks, [Message(b"k", b"x", [], partition=1)] * 50)
        with pytest.raises(TopicMismatch):
            await make_topics(broker.bootstrap, "kept", partitions=3)
    with EmbeddedBroker(data_dir=tmp_path) as broker:
        lags = await group_lag(broker.bootstrap, "reader", [names.ticks])
    assert [lag.end for lag in lags] == [0, 50, 0, 0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
async def test_without_a_folder_of_its_own_it_never_saves_and_ends_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with EmbeddedBroker() as broker:
        (folder,) = tmp_path.iterdir()
        names = await make_topics(broker.bootstrap, "lost")
        await send(broker.bootstrap, names.ticks, [Message(b"k", b"x", [], partition=1)] * 50)
        # The save that is due within a second waits for a reader, and this is the first.
        pipe = os.open(folder / "kafka.tmp", os.O_RDONLY | os.O_NONBLOCK)
        assert eventually(lambda: bool(os.read(pipe, 1)))
        assert not (folder / "kafka.json").is_file()
        os.close(pipe)
    assert not list(tmp_path.iterdir())


def test_a_port_in_use_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"127.0.0.1:{port}"):
            EmbeddedBroker(port=port, data_dir=tmp_path / "data").start()
        with pytest.raises(PortInUse, match=f"127.0.0.1:{port}"):
            start_daemon(tmp_path / "data", port=port)
    assert not (tmp_path / "data").exists()


def test_a_broker_that_does_not_answer_in_time_is_stopped_and_reported() -> None:
    broker = EmbeddedBroker(start_timeout_s=0)
    with pytest.raises(BrokerStartFailed, match=r"does not answer at 127\.0\.0\.1:[0-9]+ after 0 s"):
        broker.start()
    assert broker.pid is None


def test_a_folder_that_cannot_hold_data_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerStartFailed, match=r"cannot keep a broker's data in .*file"):
        EmbeddedBroker(data_dir=tmp_path / "file").start()


def test_it_is_started_once(tmp_path: Path) -> None:
    with EmbeddedBroker(data_dir=tmp_path) as broker, pytest.raises(BrokerError, match="already runs at"):
        broker.start()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends a child with its parent")
@pytest.mark.parametrize("folder", ["Path(sys.argv[1])", "None"])
def test_it_dies_with_a_parent_that_is_killed(folder: str, tmp_path: Path) -> None:
    script = (
        "import signal, sys, tempfile\nfrom pathlib import Path\nfrom topics.embedded import EmbeddedBroker\n"
        "tempfile.tempdir = sys.argv[1]\n"
        f"broker = EmbeddedBroker(data_dir={folder}).start()\n"
        "print(broker.pid, broker.bootstrap, flush=True)\nsignal.pause()\n"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, bootstrap = parent.stdout.readline().split()
        assert answers(*address(bootstrap))
        parent.send_signal(signal.SIGKILL)
    assert eventually(lambda: not is_running(int(pid)))
    assert not answers(*address(bootstrap))


def test_a_daemon_is_found_stopped_and_started_again_on_its_data(tmp_path: Path) -> None:
    state = start_daemon(tmp_path)
    try:
        assert read_daemon(tmp_path) == state
        with pytest.raises(BrokerError, match=f"already, at {state.bootstrap} .process {state.pid}"):
            start_daemon(tmp_path)
        assert stop_daemon(tmp_path) == state
        assert not answers(state.host, state.port)
        assert read_daemon(tmp_path) is None
        assert stop_daemon(tmp_path) is None
    finally:
        stop_daemon(tmp_path)


def test_a_state_file_of_another_process_is_not_believed(tmp_path: Path) -> None:
    state = start_daemon(tmp_path)
    path = next(tmp_path.glob("cs3g-broker.json"))
    text = path.read_text()
    stop_daemon(tmp_path)
    # Our own process id, as if the number had been given out again.
    path.write_text(text.replace(str(state.pid), str(os.getpid())))
    assert read_daemon(tmp_path) is None
    assert stop_daemon(tmp_path) is None
    path.write_text("{")
    with pytest.raises(BrokerError, match="is damaged"):
        read_daemon(tmp_path)


def test_the_command_starts_reports_and_stops(tmp_path: Path) -> None:
    runner = CliRunner()
    folder = ["--data-dir", str(tmp_path / "data")]
    assert runner.invoke(broker_command.app, ["status", *folder]).exit_code == 1
    try:
        started = runner.invoke(broker_command.app, ["start", "--port", "0", *folder])
        assert started.exit_code == 0
        assert "for demo, tests and development" in started.output
        status = runner.invoke(broker_command.app, ["status", "--json", *folder])
        assert status.exit_code == 0
        assert '"answers": true' in status.output
        again = runner.invoke(broker_command.app, ["start", "--port", "0", *folder])
        assert isinstance(again.exception, BrokerError)
    finally:
        stopped = runner.invoke(broker_command.app, ["stop", *folder])
    assert "stopped the broker at" in stopped.output
    assert "no broker runs" in runner.invoke(broker_command.app, ["stop", *folder]).output
