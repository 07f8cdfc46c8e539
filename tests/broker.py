"""The broker that the tests talk to: an address given, else Docker's Kafka, else the embedded one."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from topics.embedded import EmbeddedBroker
from topics.embedded_process import answers, free_port

DEFAULT_IMAGE = "apache/kafka:3.9.1"
_START_TIMEOUT_S = 120
_PING_TIMEOUT_S = 5


@dataclass(frozen=True)
class BrokerChoice:
    kind: str  # "given", "docker" or "embedded"
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.detail})"


def choose_broker() -> BrokerChoice:
    """Choose without starting anything."""
    address = os.environ.get("CS3G_BOOTSTRAP_SERVERS")
    if address:
        return BrokerChoice("given", address)
    reason = _docker_refusal()
    if reason is None:
        return BrokerChoice("docker", os.environ.get("CS3G_KAFKA_IMAGE", DEFAULT_IMAGE))
    return BrokerChoice("embedded", f"noida-db; CS3G_BOOTSTRAP_SERVERS is not set and {reason}")


@contextmanager
def run_broker(choice: BrokerChoice) -> Iterator[str]:
    """Yield the address of the chosen broker, started if it is ours."""
    if choice.kind == "given":
        yield choice.detail
    elif choice.kind == "docker":
        with _docker_kafka(choice.detail) as bootstrap:
            yield bootstrap
    else:
        with EmbeddedBroker() as broker:
            yield broker.bootstrap


def _docker_refusal() -> str | None:
    """Return why Docker is no choice, or None if its daemon answers a ping."""
    address = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    url = urlsplit(address)
    try:
        if url.scheme == "unix":
            link = socket.socket(socket.AF_UNIX)
            link.settimeout(_PING_TIMEOUT_S)
        else:
            link = socket.create_connection((url.hostname or "", url.port or 2375), _PING_TIMEOUT_S)
        with link:
            if url.scheme == "unix":
                link.connect(url.path)
            link.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            answer = link.recv(64)
    except OSError:
        return f"no Docker daemon answers at {address}"
    return None if b" 200 " in answer else f"the Docker daemon at {address} refuses"


@contextmanager
def _docker_kafka(image: str) -> Iterator[str]:
    """Run Kafka on a port of the host that is fixed beforehand, since Kafka advertises it."""
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import DockerContainer

    # The reaper is one more image to pull, and the context manager below already removes the container.
    testcontainers_config.ryuk_disabled = True
    port = free_port("127.0.0.1")
    settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": "PLAINTEXT://0.0.0.0:9092,CONTROLLER://localhost:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    }
    container = DockerContainer(image)
    # Not `with_bind_ports`, which would bind every interface of the host.
    container.ports["9092/tcp"] = ("127.0.0.1", port)
    for name, value in settings.items():
        container = container.with_env(name, value)
    with container:
        _await_broker(port, container)
        yield f"127.0.0.1:{port}"


def _await_broker(port: int, container: Any) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not answers("127.0.0.1", port):
        wrapped = container.get_wrapped_container()
        wrapped.reload()
        if wrapped.status == "exited" or time.monotonic() > deadline:
            waited = f"{wrapped.status}, no answer within {_START_TIMEOUT_S} s"
            raise RuntimeError(f"Kafka in Docker: {waited}; its log: {container.get_logs()}")
        time.sleep(0.2)
