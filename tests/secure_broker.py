"""A front before a real broker that speaks TLS and asks for user and password, as a production broker does.

The embedded broker talks plainly only. Every request and answer passes through; the front terminates TLS, answers
the two SASL requests itself, and puts its own port where the broker tells its own.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trustme

USER, PASSWORD = "alice", "open-sesame"
MECHANISM = "PLAIN"
_HANDSHAKE, _API_VERSIONS, _AUTHENTICATE = 17, 18, 36
_OK, _UNSUPPORTED, _REFUSED = 0, 33, 58


@dataclass(frozen=True)
class SecureBroker:
    """Where the front listens, the certificate to trust, and who was let in, one entry a connection."""

    bootstrap: str
    ca_file: Path
    logins: list[str]

    def environment(self, **changes: str) -> dict[str, str]:
        """Return the settings that let a client in; `changes` without their prefix."""
        settings = {
            "SECURITY": "SASL_SSL",
            "CA_FILE": str(self.ca_file),
            "SASL_MECHANISM": MECHANISM,
            "USER": USER,
            "PASSWORD": PASSWORD,
        }
        return {f"CS3G_BROKER_{name}": value for name, value in (settings | changes).items()}


@contextmanager
def secure_front(bootstrap: str, folder: Path) -> Iterator[SecureBroker]:
    """Run the front in a thread of its own; `folder` gets the certificate to trust."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    front = _Front(bootstrap)
    is_up, is_done = threading.Event(), threading.Event()

    async def serve() -> None:
        server = await asyncio.start_server(front.connected, "127.0.0.1", 0, ssl=context)
        front.port = server.sockets[0].getsockname()[1]
        is_up.set()
        await asyncio.to_thread(is_done.wait)
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert is_up.wait(10)
        yield SecureBroker(f"127.0.0.1:{front.port}", ca_file, front.logins)
    finally:
        is_done.set()
        thread.join()


class _Front:
    def __init__(self, bootstrap: str) -> None:
        host, port = bootstrap.rsplit(":", 1)
        self.logins: list[str] = []
        self.port = 0
        self._host, self._broker_port = host, int(port)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker_reader, broker_writer = await asyncio.open_connection(self._host, self._broker_port)
        asked_versions: set[bytes] = set()
        answers = asyncio.create_task(self._answer(broker_reader, writer, asked_versions))
        is_known = False
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):  # of a client that left
            async for frame in _frames(reader):
                key, version = struct.unpack(">hh", frame[:4])
                correlation, body = frame[4:8], _body(frame)
                if key == _HANDSHAKE:
                    is_offered = body == _text(MECHANISM)
                    code = struct.pack(">hi", _OK if is_offered else _UNSUPPORTED, 1)
                    await _send(writer, correlation + code + _text(MECHANISM))
                elif key == _AUTHENTICATE:
                    _, user, password = body[4:].split(b"\0")  # first comes whom to act as
                    is_known = (user, password) == (USER.encode(), PASSWORD.encode())
                    self.logins += [USER] * is_known
                    code = struct.pack(">h", _OK if is_known else _REFUSED)
                    await _send(writer, correlation + code + _text("wrong password") + struct.pack(">i", 0))
                elif is_known or key == _API_VERSIONS:
                    if key == _API_VERSIONS:
                        assert version == 0
                        asked_versions.add(correlation)
                    await _send(broker_writer, frame)
                else:
                    break  # as a broker does with whoever has not logged in
        answers.cancel()
        broker_writer.close()
        writer.close()

    async def _answer(
        self, broker: asyncio.StreamReader, writer: asyncio.StreamWriter, asked_versions: set[bytes]
    ) -> None:
        told, own = (_text(self._host) + struct.pack(">i", port) for port in (self._broker_port, self.port))
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            async for frame in _frames(broker):
                if frame[:4] in asked_versions:
                    asked_versions.remove(frame[:4])
                    (n,) = struct.unpack(">i", frame[6:10])
                    sasl = struct.pack(">hhhhhh", _HANDSHAKE, 0, 1, _AUTHENTICATE, 0, 0)
                    frame = frame[:6] + struct.pack(">i", n + 2) + frame[10:] + sasl
                await _send(writer, frame.replace(told, own))
        writer.close()


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        (size,) = struct.unpack(">i", await reader.readexactly(4))
        yield await reader.readexactly(size)


async def _send(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(struct.pack(">i", len(frame)) + frame)
    await writer.drain()


def _body(frame: bytes) -> bytes:
    """Return a request without its header: key, version, correlation id and the client's name."""
    (size,) = struct.unpack(">h", frame[8:10])
    return frame[10 + max(size, 0) :]


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()
