"""Checkpoints of a stage in its changelog, durable before the input is acknowledged.

A checkpoint larger than a message travels in chunks: written under the keys that the last one did not use,
and valid once the head that names them is with the broker, so a crash in between leaves the last one whole.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

import msgspec

from pipeline.agents.changelog import Changelog, Entries
from pipeline.errors import StateDecodeError

MAX_CHUNK_BYTES: Final = 900_000
"""Below the 1 MB that a broker takes by default, which the changelog's topic is made with."""

INTERVAL_S: Final = 1.0
"""Live, a checkpoint a second is enough: what came after it is computed again, to the same bytes."""


class _Head(msgspec.Struct, frozen=True):
    """Names the chunks of the valid checkpoint."""

    side: int
    n_chunks: int
    sha256: str


class Checkpoints:
    """The newest checkpoint of one key, as opaque bytes; mutates self.

    Parameters
    ----------
    changelog
        With as many partitions as the stage's source topic.
    key
        What the checkpoint is of.
    """

    def __init__(self, changelog: Changelog, key: bytes) -> None:
        self._changelog = changelog
        self._key = key
        self._side: int | None = None  # of the newest checkpoint, as of the last load or save
        self._saved_s = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is old enough for another."""
        return asyncio.get_running_loop().time() - self._saved_s >= INTERVAL_S

    async def load(self, partition: int) -> bytes | None:
        """Return the newest checkpoint with the broker, if there is one; to be called before `save`.

        Raises
        ------
        StateDecodeError
            Its chunks are not what its head says.
        """
        entries = await self._changelog.read(partition, lambda entries: self._data(entries) is not None)
        head = self._head(entries)
        self._side = None if head is None else head.side
        if head is None:
            return None
        data = self._data(entries)
        if data is None:
            raise StateDecodeError(
                f"the checkpoint of {self._key!r} is not what its head says: its changelog topic"
                f" {self._changelog.name!r} is damaged; delete it and reset the group's offsets to rebuild from"
                " the input"
            )
        return data

    async def save(self, partition: int, data: bytes) -> None:
        """Write a checkpoint and wait until the broker has it."""
        side = 0 if self._side is None else 1 - self._side
        chunks = [data[at : at + MAX_CHUNK_BYTES] for at in range(0, len(data), MAX_CHUNK_BYTES)]
        await self._changelog.write(
            partition, [(self._chunk_key(side, number), chunk) for number, chunk in enumerate(chunks)]
        )
        head = _Head(side=side, n_chunks=len(chunks), sha256=hashlib.sha256(data).hexdigest())
        await self._changelog.write(partition, [(self._key, msgspec.json.encode(head))])
        self._side = side
        self._saved_s = asyncio.get_running_loop().time()

    def _head(self, entries: Entries) -> _Head | None:
        value = entries.get(self._key)
        return None if value is None else msgspec.json.decode(value, type=_Head)

    def _data(self, entries: Entries) -> bytes | None:
        """Return what the head names, or None where chunks are missing or not its own."""
        head = self._head(entries)
        if head is None:
            return None
        chunks = (entries.get(self._chunk_key(head.side, number), b"") for number in range(head.n_chunks))
        data = b"".join(chunks)
        return data if hashlib.sha256(data).hexdigest() == head.sha256 else None

    def _chunk_key(self, side: int, number: int) -> bytes:
        return b"%s/%d/%d" % (self._key, side, number)
