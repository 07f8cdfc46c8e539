"""Checkpoints of a stage in a changelogged Faust table, durable before the input is acknowledged.

A checkpoint larger than a message travels in chunks: written under the keys that the last one did not use,
and valid once the head that names them is with the broker, so a crash in between leaves the last one whole.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable
from typing import Any, Final

import faust
import msgspec

from pipeline.errors import StateDecodeError

MAX_CHUNK_BYTES: Final = 900_000
"""Below the 1 MB that a broker takes by default; Faust makes the changelog topic with the broker's defaults."""

INTERVAL_S: Final = 1.0
"""Live, a checkpoint a second is enough: what came after it is computed again, to the same bytes."""


class _Head(msgspec.Struct, frozen=True):
    """Names the chunks of the valid checkpoint."""

    side: int
    n_chunks: int
    sha256: str


class Checkpoints:
    """The newest checkpoint of one key, as opaque bytes; mutates self.

    Written through the table's changelog rather than by item assignment, because a stage works outside the
    stream's iteration and must wait for the broker's acknowledgement.

    Parameters
    ----------
    table
        Table with raw keys and values and as many partitions as the stage's source topic.
    key
        What the checkpoint is of.
    """

    def __init__(self, table: faust.types.TableT[Any, Any], key: bytes) -> None:
        self._table = table
        self._key = key
        self._saved_s = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is old enough for another."""
        return asyncio.get_running_loop().time() - self._saved_s >= INTERVAL_S

    def load(self) -> bytes | None:
        """Return the checkpoint that recovery read back, if there is one.

        Raises
        ------
        StateDecodeError
            Its chunks are not what its head says.
        """
        head = self._head()
        if head is None:
            return None
        data = b"".join(
            self._table.data.get(self._chunk_key(head.side, number)) or b"" for number in range(head.n_chunks)
        )
        if hashlib.sha256(data).hexdigest() != head.sha256:
            raise StateDecodeError(
                f"the checkpoint of {self._key!r} is not what its head says: its changelog topic is damaged;"
                " delete it and reset the group's offsets to rebuild from the input"
            )
        return data

    async def save(self, partition: int, data: bytes) -> None:
        """Write a checkpoint and wait until the broker has it."""
        head = self._head()
        side = 0 if head is None else 1 - head.side
        chunks = [data[at : at + MAX_CHUNK_BYTES] for at in range(0, len(data), MAX_CHUNK_BYTES)]
        await asyncio.gather(
            *[
                self._put(partition, self._chunk_key(side, number), chunk)
                for number, chunk in enumerate(chunks)
            ]
        )
        new = _Head(side=side, n_chunks=len(chunks), sha256=hashlib.sha256(data).hexdigest())
        await self._put(partition, self._key, msgspec.json.encode(new))
        self._saved_s = asyncio.get_running_loop().time()

    def _put(self, partition: int, key: bytes, value: bytes) -> Awaitable[Any]:
        sent = self._table.send_changelog(partition, key, value)
        self._table.data[key] = value
        return sent

    def _head(self) -> _Head | None:
        value = self._table.data.get(self._key)
        return None if value is None else msgspec.json.decode(value, type=_Head)

    def _chunk_key(self, side: int, number: int) -> bytes:
        return b"%s/%d/%d" % (self._key, side, number)
