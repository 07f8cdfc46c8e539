"""Where a replay goes: the protocol, and the sinks that need no broker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from replay.batching import SentTail, TickBatch
from topics.control import EndOfReplay, Instrument
from topics.envelope import Message
from topics.messages import control_message


class Sink(Protocol):
    """Takes what a replay emits, in order."""

    @property
    def publishes(self) -> bool:
        """Whether what it takes reaches anybody: then the input is checked to its end before it starts."""

    async def start(self, instruments: Sequence[Instrument], run_id: str) -> Mapping[int, SentTail]:
        """Announce the instruments and wait until they are acknowledged.

        Returns
        -------
        By partition, what an interrupted replay sent last; empty unless this one resumes it.
        """

    async def send(self, batch: TickBatch) -> None:
        """Take a batch; may wait, so that what is in flight stays bounded."""

    async def flush(self) -> None:
        """Return when everything taken so far is acknowledged."""

    async def finish(self, ends: Sequence[EndOfReplay], run_id: str) -> None:
        """Take each partition's end-of-replay record, and return when everything is acknowledged."""


def end_message(end: EndOfReplay, partition: int, run_id: str) -> Message:
    """Return a partition's last message."""
    message = control_message(end, run_id=run_id, mode="replay", key=b"%d" % partition, ts_ns=end.ts_last)
    return Message(message.key, message.value, message.headers, message.timestamp_ms, partition)


class NullSink:
    """Counts and forgets: a dry run. Mutates self."""

    publishes = False

    def __init__(self) -> None:
        self.n_messages = 0
        self.n_bytes = 0

    async def start(self, instruments: Sequence[Instrument], run_id: str) -> Mapping[int, SentTail]:
        """Announce nothing."""
        return {}

    async def send(self, batch: TickBatch) -> None:
        """Count a batch."""
        self.n_messages += 1
        self.n_bytes += batch.run.records.nbytes

    async def flush(self) -> None:
        """Have nothing in flight."""

    async def finish(self, ends: Sequence[EndOfReplay], run_id: str) -> None:
        """Count the ends."""
        self.n_messages += len(ends)


class MemorySink:
    """Keeps the messages, for tests and for pipelines in this process. Mutates self.

    Attributes
    ----------
    instruments
        What was announced.
    messages
        By partition, in order; the last of each is its end-of-replay.
    """

    publishes = True

    def __init__(self) -> None:
        self.instruments: list[Instrument] = []
        self.messages: defaultdict[int, list[Message]] = defaultdict(list)

    async def start(self, instruments: Sequence[Instrument], run_id: str) -> Mapping[int, SentTail]:
        """Keep the announcements."""
        self.instruments.extend(instruments)
        return {}

    async def send(self, batch: TickBatch) -> None:
        """Keep a batch's message."""
        self.messages[batch.partition].append(batch.message())

    async def flush(self) -> None:
        """Have nothing in flight."""

    async def finish(self, ends: Sequence[EndOfReplay], run_id: str) -> None:
        """Keep the ends."""
        for partition, end in enumerate(ends):
            self.messages[partition].append(end_message(end, partition, run_id))
