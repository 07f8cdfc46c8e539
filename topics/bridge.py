"""Bridge a topic of one-tick JSON messages into runs of DBN records on the tick topic.

Guarantee: every source message's tick is on the tick topic exactly once, also when the bridge is killed and started
again, as long as one bridge at a time runs for a source and tick topic, nobody else writes to the tick topic, and the
newest message of each tick partition is retained. Each message names, in the header `bridge-offsets`, up to where each
source partition is contained in its tick partition; a bridge that starts reads the newest such header of every tick
partition and leaves out what that already contains. The idempotent producer keeps retries from doubling. Dead letters
of what is no tick may come again after a restart, with the same source offset.

Ticks of one source partition keep their order. Source partitions that feed the same tick partition take turns as
they arrive: key the source by instrument and give it as many partitions as the tick topic, or allow lateness.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer, TopicPartition

from topics.connection import admin_client, reader_client, start_client, stop_client
from topics.control import DeadLetter
from topics.envelope import Message
from topics.errors import BrokerError
from topics.groups import partitions_of
from topics.json_runs import decode_json_ticks
from topics.messages import control_message, tick_message
from topics.runs import TickRun
from topics.security import broker_security
from topics.specs import MAX_REQUEST_BYTES, topic_names
from topics.types import Int64Array

HEADER: Final = "bridge-offsets"
MAX_POLL: Final = 20_000
_POLL_MS: Final = 50
_PROGRESS_TIMEOUT_S: Final = 30.0

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class BridgeCounts:
    """What a bridge has done: messages read, ticks sent, left out as sent before, refused; messages sent."""

    read: int = 0
    ticks: int = 0
    known: int = 0
    refused: int = 0
    messages: int = 0


@dataclass(slots=True)
class Bridge:
    """One source topic into the tick topic of a prefix. Mutates self.

    Attributes
    ----------
    bootstrap, source, prefix, run_id
        Where from and where to; `run_id` is what the messages carry.
    batch_ticks
        Most records a message.
    linger_s
        How long messages may gather before they are read; 0 for at once.
    """

    bootstrap: str
    source: str
    prefix: str = ""
    run_id: str = ""
    batch_ticks: int = 1000
    linger_s: float = 0.005
    counts: BridgeCounts = field(default_factory=BridgeCounts)
    _done: list[dict[int, int]] = field(default_factory=list)
    _seq: list[int] = field(default_factory=list)

    async def run(self, *, until: Callable[[BridgeCounts], bool] = lambda counts: False) -> BridgeCounts:
        """Bridge until `until` says so, looked at after each poll, or the task is cancelled.

        Raises
        ------
        BrokerUnavailable
            Nobody answers.
        BrokerError
            A topic is missing.
        """
        names = topic_names(self.prefix)
        async with admin_client(self.bootstrap) as admin:
            sources = await partitions_of(admin, [self.source])
            targets = await partitions_of(admin, [names.ticks])
        # Each with a client of its own: one that is assigned anew while it fetches may never deliver.
        async with reader_client(self.bootstrap) as consumer:
            await self._read_progress(consumer, sorted(targets))
        async with reader_client(self.bootstrap) as consumer:
            consumer.assign(sources)
            firsts = await consumer.beginning_offsets(sources)
            for part in sources:
                # From what every tick partition contains; what only some contain is left out below.
                start = min(done.get(part.partition, 0) for done in self._done)
                consumer.seek(part, max(start, firsts[part]))
            producer = AIOKafkaProducer(
                bootstrap_servers=self.bootstrap,
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                max_batch_size=256 * 1024,
                max_request_size=MAX_REQUEST_BYTES,
                **broker_security().client_options(),
            )
            await start_client(producer, self.bootstrap)
            try:
                while not until(self.counts):
                    await asyncio.sleep(self.linger_s)
                    fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=MAX_POLL)
                    await asyncio.gather(*[
                        sent
                        for part, records in fetched.items()
                        for sent in await self._pass_on(producer, names, part.partition, records)
                    ])  # fmt: skip
            finally:
                await stop_client(producer)
        return self.counts

    async def _pass_on(self, producer: Any, names: Any, source: int, records: list[Any]) -> list[Any]:
        self.counts.read += len(records)
        runs, refused = decode_json_ticks([record.value or b"" for record in records])
        offsets = np.array([record.offset for record in records], np.int64)
        sent = [
            await self._send(producer, names.dead_letters, self._refusal(records[position], error))
            for position, error in refused
        ]
        for one in runs:
            partition = one.run.records["instrument_id"] % np.uint32(len(self._done))
            for number in range(len(self._done)):
                here = np.flatnonzero(partition == number)
                if len(here):
                    sent += await self._send_run(
                        producer, names.ticks, number, source, one.run, here, offsets[one.positions]
                    )
        return sent

    async def _send_run(
        self,
        producer: Any,
        topic: str,
        number: int,
        source: int,
        run: TickRun,
        here: Int64Array,
        offsets: Int64Array,
    ) -> list[Any]:
        done = self._done[number]
        new = here[offsets[here] >= done.get(source, 0)]
        self.counts.known += len(here) - len(new)
        sent = []
        for start in range(0, len(new), self.batch_ticks):
            rows = new[start : start + self.batch_ticks]
            done[source] = int(offsets[rows[-1]]) + 1
            message = tick_message(
                TickRun(run.schema, run.records[rows]),
                run_id=self.run_id,
                mode="live",
                seq=self._seq[number],
                partition=number,
            )
            progress = msgspec.json.encode({str(key): value for key, value in done.items()})
            message.headers.append((HEADER, progress))
            sent.append(await self._send(producer, topic, message))
            self._seq[number] += len(rows)
            self.counts.ticks += len(rows)
            self.counts.messages += 1
        return sent

    async def _send(self, producer: Any, topic: str, message: Message) -> Any:
        return await producer.send(
            topic,
            message.value,
            key=message.key,
            partition=message.partition,
            timestamp_ms=message.timestamp_ms,
            headers=message.headers,
        )

    def _refusal(self, record: Any, error: Exception) -> Message:
        self.counts.refused += 1
        letter = DeadLetter(
            cause="undecodable",
            source_topic=self.source,
            partition=record.partition,
            offset=record.offset,
            n_records=1,
            detail=str(error),
            payload=record.value or b"",
        )
        return control_message(letter, run_id=self.run_id, mode="live", key=self.source.encode())

    async def _read_progress(self, consumer: Any, targets: list[TopicPartition]) -> None:
        self._done, self._seq = [{} for _ in targets], [0] * len(targets)
        ends = await consumer.end_offsets(targets)
        waited = {target for target in targets if ends[target]}
        consumer.assign(sorted(waited))
        for target in waited:
            consumer.seek(target, ends[target] - 1)
        deadline = asyncio.get_running_loop().time() + _PROGRESS_TIMEOUT_S
        while waited:
            for target, records in (await consumer.getmany(*waited, timeout_ms=_POLL_MS)).items():
                waited.discard(target)
                self._take_progress(target, records[-1])
            if asyncio.get_running_loop().time() > deadline:
                raise BrokerError(f"the newest messages of {sorted(waited)} are gone, by retention perhaps")

    def _take_progress(self, target: TopicPartition, newest: Any) -> None:
        headers = dict(newest.headers)
        if HEADER not in headers:
            raise BrokerError(
                f"the newest message of {target.topic!r} partition {target.partition} is not a bridge's:"
                " nobody else may write to a tick topic that a bridge feeds; bridge into another prefix"
            )
        found = msgspec.json.decode(headers[HEADER], type=dict[str, int])
        self._done[target.partition] = {int(key): value for key, value in found.items()}
        self._seq[target.partition] = int(headers["seq"]) + int(headers["count"])
