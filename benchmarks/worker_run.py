"""A broker, topics and workers for a benchmark, with what each process costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition

from cs3g.session import worker_environment
from pipeline.config import PipelineConfig, load_config
from topics.admin import create_topics
from topics.connection import reader_client
from topics.control import Instrument
from topics.embedded import EmbeddedBroker
from topics.envelope import Envelope, Message
from topics.messages import control_message, tick_message
from topics.pacing import MOST_S
from topics.specs import MAX_REQUEST_BYTES, replay_prefix
from topics.ticks import heartbeat
from topics.windows_codec import decode_windows

UNIVERSE = "bench"


@dataclass
class Workers:
    """Worker processes of a benchmark; `stop` ends them."""

    config: PipelineConfig
    log: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, number: int) -> subprocess.Popen[bytes]:
        """Start worker `number`, with its output in the log."""
        command = [sys.executable, "-m", "cs3g", "worker", "--id", str(number)]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, env={**os.environ, **worker_environment(self.config)}, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all."""
        for process in self.processes:
            process.send_signal(number)

    def check(self) -> None:
        """Raise where one has ended."""
        for process in self.processes:
            if process.poll() is not None:
                raise RuntimeError(f"a worker ended; its log ends:\n{self.log.read_text()[-2000:]}")

    def cpu_s(self) -> float:
        """Return the CPU seconds that all have used."""
        return sum(cpu_s(process.pid) for process in self.processes)

    def rss_bytes(self) -> int:
        """Return the largest worker's resident memory."""
        return max((rss_bytes(process.pid) for process in self.processes), default=0)

    def stop(self) -> None:
        """End all."""
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()


@asynccontextmanager
async def topics_for(
    broker: EmbeddedBroker, run_id: str, *, mode: str = "replay", bounded: bool, **settings: Any
) -> AsyncIterator[PipelineConfig]:
    """Make a run's topics and yield its configuration; `bounded` topics keep a tail only."""
    prefix = replay_prefix(run_id) if mode == "replay" else f"{run_id}."
    config = load_config(
        bootstrap_servers=broker.bootstrap,
        topic_prefix=prefix,
        run_id=run_id,
        mode=mode,
        universe=UNIVERSE,
        **settings,
    )
    await create_topics(broker.bootstrap, prefix=prefix, partitions=config.tick_partitions, embedded=bounded)
    yield config


async def announce(
    producer: AIOKafkaProducer, config: PipelineConfig, instruments: Sequence[Instrument]
) -> None:
    """Announce instruments and wait for the broker."""
    for one in instruments:
        key = b"%d" % one.instrument_id
        message = control_message(one, run_id=config.run_id, mode=config.mode, key=key)
        await send(producer, config.topics.instruments, message)
    await producer.flush()


async def send(producer: AIOKafkaProducer, topic: str, message: Message) -> Any:
    """Hand a message to the producer; return the future of its acknowledgement."""
    return await producer.send(
        topic,
        message.value,
        key=message.key,
        partition=message.partition,
        timestamp_ms=message.timestamp_ms,
        headers=message.headers,
    )


@asynccontextmanager
async def producer_for(
    bootstrap: str, *, linger_ms: int = 5, compression: str | None = None
) -> AsyncIterator[AIOKafkaProducer]:
    """Yield a producer of large batches."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=linger_ms,
        max_batch_size=256 * 1024,
        max_request_size=MAX_REQUEST_BYTES,
        compression_type=compression,
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def ready(config: PipelineConfig, workers: Workers, ts_ns: int, timeout_s: float = 120.0) -> float:
    """Wait until the workers consume every tick partition; return the seconds that it took.

    A heartbeat at ts_ns, before the first tick, goes to each partition: what follows it on the windows topic says
    that the group is formed and the checkpoints are recovered, which no state of the group tells.
    """
    started = time.perf_counter()
    left = set(range(config.tick_partitions))
    async with (
        reading(config.bootstrap_servers, config.topics.windows) as consumer,
        producer_for(config.bootstrap_servers) as producer,
    ):
        for partition in sorted(left):
            message = tick_message(
                heartbeat("trades", ts_ns), run_id=config.run_id, mode=config.mode, seq=0, partition=partition
            )
            await send(producer, config.topics.ticks, message)
        await producer.flush()
        while left:
            workers.check()
            if time.perf_counter() - started > timeout_s:
                raise TimeoutError(
                    f"nothing consumes partitions {sorted(left)} after {timeout_s:g} s:"
                    f" {workers.log.read_text()[-1000:]}"
                )
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    run = decode_windows(record.value, Envelope.from_headers(record.headers))
                    left.discard(run.partition)
    return time.perf_counter() - started


@asynccontextmanager
async def reading(bootstrap: str, *topics: str, rest_s: float = MOST_S) -> AsyncIterator[Any]:
    """Yield a consumer at the end of single-partition topics as they are now; `rest_s` as in `reader_client`."""
    async with reader_client(bootstrap, rest_s=rest_s) as consumer:
        partitions = [TopicPartition(topic, 0) for topic in topics]
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        for partition in partitions:
            await consumer.position(partition)
        yield consumer


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid: int) -> int:
    """Return a process's resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
