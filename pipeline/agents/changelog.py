"""A stage's changelog: a compacted topic that is written through Faust's producer and read without Faust.

Faust's recovery of a table clears what it has queued when the flow resumes (`clear_on_resume`), though it has
counted that as read: after two rebalances in a row a worker waited for ever for messages that had come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import faust

from pipeline.agents.publishing import TopicSink, publish
from topics.envelope import Message
from topics.tail import Record, read_tail

_FIRST_STEP: Final = 4
"""A checkpoint that fits into one message, its head, and the one before."""

Entries = Mapping[bytes, bytes]
"""The newest value of each key."""


class Changelog(Protocol):
    """Durable keys and values, of which the last value of a key counts."""

    @property
    def name(self) -> str:
        """What an operator calls it."""

    async def read(self, partition: int, is_enough: Callable[[Entries], bool]) -> Entries:
        """Return the newest entries of a partition: as many as are enough, or all."""

    async def write(self, partition: int, entries: Sequence[tuple[bytes, bytes]]) -> None:
        """Add entries in order; return once they are durable."""


class TopicChangelog:
    """The compacted topic `<group>-<name>-changelog`, which Faust's tables would use, made on first use.

    Parameters
    ----------
    app
        Whose producer sends, and whose settings say how many replicas the topic gets.
    bootstrap
        Address of the broker.
    name
        Of the stage.
    """

    def __init__(self, app: faust.App, bootstrap: str, name: str) -> None:
        self._bootstrap = bootstrap
        self._name = f"{app.conf.id}-{name}-changelog"
        self._sink = TopicSink(app, self._name)
        raw: dict[str, Any] = {"key_serializer": "raw", "value_serializer": "raw"}
        self._topic = app.topic(
            # One partition, as the topics of windows and graphs have: a universe is one ordered sequence.
            self._name, partitions=1, compacting=True, internal=True, key_type=bytes, value_type=bytes, **raw
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The topic's name."""
        return self._name

    async def read(self, partition: int, is_enough: Callable[[Entries], bool]) -> Entries:
        """Return the newest entries of a partition, read from its end backwards.

        Raises
        ------
        BrokerError
            The broker is not there, or does not deliver them in time.
        """
        await self._topic.maybe_declare()
        records = await read_tail(
            self._bootstrap,
            self._name,
            lambda records: is_enough(_newest(records)),
            partition=partition,
            first_step=_FIRST_STEP,
        )
        return _newest(records)

    async def write(self, partition: int, entries: Sequence[tuple[bytes, bytes]]) -> None:
        """Send entries in order and return once the broker has acknowledged all of them."""
        await publish(self._sink, [Message(key, value, [], partition=partition) for key, value in entries])


def _newest(records: Sequence[Record]) -> Entries:
    return {
        record.key: record.value for record in records if record.key is not None and record.value is not None
    }
