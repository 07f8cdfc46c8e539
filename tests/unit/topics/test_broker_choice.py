"""Which broker the tests talk to."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.broker import DEFAULT_IMAGE, choose_broker
from topics.embedded_process import free_port


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CS3G_BOOTSTRAP_SERVERS", "CS3G_KAFKA_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_port('127.0.0.1')}")


def test_an_address_given_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CS3G_BOOTSTRAP_SERVERS", "kafka:9092")
    assert str(choose_broker()) == "given (kafka:9092)"


def test_without_docker_it_is_the_embedded_one_and_says_why() -> None:
    choice = choose_broker()
    assert choice.kind == "embedded"
    assert "no Docker daemon answers at tcp://127.0.0.1:" in choice.detail


@pytest.mark.parametrize(
    ("status", "image", "expected"),
    [
        ("200 OK", None, f"docker ({DEFAULT_IMAGE})"),
        ("200 OK", "local/kafka:1", "docker (local/kafka:1)"),
        ("403 Forbidden", None, "embedded"),
    ],
)
def test_a_docker_daemon_that_answers_comes_second(
    monkeypatch: pytest.MonkeyPatch, status: str, image: str | None, expected: str
) -> None:
    if image is not None:
        monkeypatch.setenv("CS3G_KAFKA_IMAGE", image)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{listener.getsockname()[1]}")

        def answer() -> None:
            link, _ = listener.accept()
            with link:
                assert link.recv(1024).startswith(b"GET /_ping ")
                link.sendall(f"HTTP/1.0 {status}\r\n\r\n".encode())

        daemon = threading.Thread(target=answer)
        daemon.start()
        assert str(choose_broker()).startswith(expected)
        daemon.join()
