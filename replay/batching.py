"""Cut each partition's records into messages, and leave out what a resumed replay has already sent.

How it cuts changes no record: `seq` numbers the records of a partition, so a resumed replay finds its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from replay.errors import ConfigError, ResumeMismatch
from topics.envelope import MAX_MESSAGE_BYTES, Message
from topics.messages import tick_message
from topics.runs import TickRun
from topics.ticks import join_records, take_records, tick_schema
from topics.types import RecordArray


@dataclass(frozen=True, slots=True)
class TickBatch:
    """The records of one message, heartbeats included.

    Attributes
    ----------
    seq
        Records of this partition before these.
    made
        Its message, where that was encoded beforehand.
    """

    run: TickRun
    partition: int
    seq: int
    run_id: str
    made: Message | None = None

    def message(self) -> Message:
        """Return it encoded."""
        if self.made is not None:
            return self.made
        return tick_message(
            self.run, run_id=self.run_id, mode="replay", seq=self.seq, partition=self.partition
        )

    def encoded(self) -> TickBatch:
        """Return the batch with its message made."""
        return replace(self, made=self.message())


@dataclass(frozen=True, slots=True)
class SentTail:
    """The last tick message that a partition holds of an interrupted replay."""

    seq: int
    records: RecordArray


class Batcher:
    """Buffers records by partition and cuts them into batches. Mutates self.

    Parameters
    ----------
    batch_ticks
        Records a message (> 0).
    sent
        By partition, what an interrupted replay sent last; those records and all before them are left out.

    Raises
    ------
    ConfigError
        `batch_ticks` out of range.
    """

    def __init__(
        self,
        schema_name: str,
        *,
        partitions: int,
        batch_ticks: int,
        run_id: str,
        sent: Mapping[int, SentTail] | None = None,
    ) -> None:
        limit = MAX_MESSAGE_BYTES // tick_schema(schema_name).dtype.itemsize
        if not 1 <= batch_ticks <= limit:
            raise ConfigError(
                f"`batch_ticks` (={batch_ticks}) must be in 1..{limit} for schema {schema_name}"
            )
        self._schemas = [schema_name] * partitions
        self._batch_ticks = batch_ticks
        self._run_id = run_id
        self._buffers: list[list[RecordArray]] = [[] for _ in range(partitions)]
        self._buffered = [0] * partitions
        self._seq = [0] * partitions
        self._sent = dict(sent or {})
        self._n_left_out = 0

    @property
    def is_catching_up(self) -> bool:
        """Whether some partition has not reached the end of what had been sent before."""
        return bool(self._sent)

    @property
    def n_left_out(self) -> int:
        """Records left out because they had been sent before."""
        return self._n_left_out

    def add(
        self, records: RecordArray, partitions: NDArray[np.uint16], schema_name: str | None = None
    ) -> list[TickBatch]:
        """Take records, and return the batches that are full.

        Parameters
        ----------
        records, partitions
            (n,) with the partition of each.
        schema_name
            Where it is not the one that the batcher was made for; its records are no wider.
        """
        full: list[TickBatch] = []
        for partition, part in self._split(records, partitions):
            if partition in self._sent:
                part = self._beyond_sent(partition, part)
            if not len(part):
                continue
            if schema_name is not None and schema_name != self._schemas[partition]:
                # A message carries one schema.
                full += self._cut(1, partition)
                self._schemas[partition] = schema_name
            self._buffers[partition].append(part)
            self._buffered[partition] += len(part)
        return full + self._cut(self._batch_ticks)

    def flush(self) -> list[TickBatch]:
        """Return everything that is buffered."""
        return self._cut(1)

    def require_resumed(self) -> None:
        """Refuse a replay that ended before it reached what had been sent already.

        Raises
        ------
        ResumeMismatch
            The topic holds more than this replay has.
        """
        for partition, tail in self._sent.items():
            raise ResumeMismatch(
                f"partition {partition} holds {tail.seq + len(tail.records)} records, this replay has only"
                f" {self._seq[partition]} there: resume with the same files and options, or take a new run id"
            )

    def _split(
        self, records: RecordArray, partitions: NDArray[np.uint16]
    ) -> Iterator[tuple[int, RecordArray]]:
        if len(self._buffers) == 1:
            yield 0, records
            return
        order = np.argsort(partitions, kind="stable")  # a radix sort, of 16 bits
        ends = np.cumsum(np.bincount(partitions, minlength=len(self._buffers)))
        start = 0
        for partition, end in enumerate(ends.tolist()):
            yield partition, take_records(records, order[start:end])
            start = end

    def _cut(self, at_least: int, only: int | None = None) -> list[TickBatch]:
        rounds: list[list[TickBatch]] = []
        for partition, buffer in enumerate(self._buffers):
            if self._buffered[partition] < at_least or only not in (None, partition):
                continue
            run = join_records(buffer)
            index = 0
            while len(run) >= at_least:
                piece, run = run[: self._batch_ticks], run[self._batch_ticks :]
                if index == len(rounds):
                    rounds.append([])
                ticks = TickRun(self._schemas[partition], piece)
                rounds[index].append(TickBatch(ticks, partition, self._seq[partition], self._run_id))
                self._seq[partition] += len(piece)
                index += 1
            self._buffers[partition] = [run] if len(run) else []
            self._buffered[partition] = len(run)
        # Round after round over the partitions, so that none runs ahead of the others in the topic.
        return [batch for batches in rounds for batch in batches]

    def _beyond_sent(self, partition: int, part: RecordArray) -> RecordArray:
        tail = self._sent[partition]
        end = tail.seq + len(tail.records)
        first = self._seq[partition]
        stop = min(first + len(part), end)
        known = part[max(tail.seq - first, 0) : stop - first]
        expected = tail.records[max(first - tail.seq, 0) : max(stop - tail.seq, 0)]
        if known.tobytes() != expected.tobytes():
            raise ResumeMismatch(
                f"partition {partition} holds other records at {tail.seq}..{end - 1} than this replay has:"
                " resume with the same files and options, or take a new run id"
            )
        self._seq[partition] = stop
        self._n_left_out += stop - first
        if stop == end:
            del self._sent[partition]
        return part[stop - first :]
