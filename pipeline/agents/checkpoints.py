"""Checkpoints of a stage in a changelogged Faust table, durable before the input is acknowledged."""

from __future__ import annotations

from typing import Any

import faust


class Checkpoints:
    """The newest checkpoint of each key, as opaque bytes.

    Written through the table's changelog rather than by item assignment, because a stage works outside the
    stream's iteration and must wait for the broker's acknowledgement.

    Parameters
    ----------
    table
        Table with raw keys and values and as many partitions as the stage's source topic.
    """

    def __init__(self, table: faust.Table[Any, Any]) -> None:
        self._table = table

    def load(self, key: bytes) -> bytes | None:
        """Return the checkpoint that recovery read back, if there is one."""
        value = self._table.data.get(key)
        return bytes(value) if value is not None else None

    async def save(self, partition: int, key: bytes, value: bytes) -> None:
        """Write a checkpoint and wait until the broker has it."""
        sent = self._table.send_changelog(partition, key, value)
        self._table.data[key] = value
        await sent
