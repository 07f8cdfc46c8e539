"""The peers on the same trades, as one-tick JSON messages on the same number of partitions of the same broker."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from aiokafka.admin import NewTopic

from benchmarks.ticks import Filled
from benchmarks.worker_run import producer_for
from topics.connection import admin_client
from topics.embedded import EmbeddedBroker
from topics.envelope import Envelope
from topics.ticks import decode_ticks, is_heartbeat, join_records
from topics.types import PRICE_SCALE

TOPIC: Final = "ticks.json"
BRIDGE: Final = "bridge"
"""Our own entry among what `run_peers` returns."""

N_MESSAGES: Final = 300_000
PARTITIONS: Final = 4
_HERE: Final = Path(__file__).parent
_HEADERS: Final = [("content-type", b"application/json")]


def json_ticks(filled: Filled, limit: int = N_MESSAGES) -> list[tuple[int, int, bytes]]:
    """Return (partition, ms, value) of the first trades as one-tick JSON of the contract, in order of time."""
    parts = []
    for messages in filled.messages.values():
        runs = [decode_ticks(m.value, Envelope.from_headers(m.headers)).records for m in messages[:-1]]
        records = join_records(runs)
        parts.append(records[~is_heartbeat(records)][:limit])
    records = join_records(parts)
    records = records[np.argsort(records["ts_event"], kind="stable")[:limit]]
    return [
        (int(record["instrument_id"]) % PARTITIONS, int(record["ts_event"]) // 1_000_000, _json(record))
        for record in records
    ]


async def fill(bootstrap: str, ticks: list[tuple[int, int, bytes]]) -> None:
    """Make the topic and send the messages, as a producer of single ticks would."""
    async with admin_client(bootstrap) as admin:
        settings = {"retention.ms": "-1"}
        await admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1, topic_configs=settings)])
    async with producer_for(bootstrap, linger_ms=20) as producer:
        sent = []
        for partition, ts_ms, value in ticks:
            sent.append(
                await producer.send(TOPIC, value, partition=partition, timestamp_ms=ts_ms, headers=_HEADERS)
            )
            if len(sent) == 20_000:
                await asyncio.gather(*sent)
                sent.clear()
        await producer.flush()


def bytewax(python: Path, bootstrap: str, count: int) -> float:
    """Return Bytewax's ticks/s."""
    return _rate([python, _HERE / "peer_bytewax.py", bootstrap, TOPIC, count])


def quix(python: Path, bootstrap: str, count: int, work: Path) -> float:
    """Return Quix Streams' ticks/s."""
    return _rate([python, _HERE / "peer_quix.py", bootstrap, TOPIC, count, work / "quix"])


def run_peers(python: Path | None, ticks: list[tuple[int, int, bytes]], work: Path) -> dict[str, float]:
    """Return our bridge's and each peer's ticks/s on the same topic, one after the other."""
    from benchmarks.stream.ingest import ingest  # it reads this module's topic

    found: dict[str, float] = {}
    with EmbeddedBroker() as broker:
        asyncio.run(fill(broker.bootstrap, ticks))
        found[BRIDGE] = ingest(broker.bootstrap, len(ticks))
        if python is None:
            return found
        found["Bytewax"] = bytewax(python, broker.bootstrap, len(ticks))
        found["Quix Streams"] = quix(python, broker.bootstrap, len(ticks), work)
    return found


def _rate(command: list[Any]) -> float:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[1]} failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[0])


def _json(record: np.void) -> bytes:
    return msgspec.json.encode(
        {
            "schema": "trades",
            "instrument_id": int(record["instrument_id"]),
            "ts_event": int(record["ts_event"]),
            "price": int(record["price"]) / PRICE_SCALE,
            "size": int(record["size"]),
            "side": bytes(record["side"]).decode() or "N",
        }
    )
