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
MISSING_SHARE: Final = 0.001
"""Bars that are open when the last tick has come, and ticks that a peer's floats put beyond a second's edge."""

_HERE: Final = Path(__file__).parent
_HEADERS: Final = [("content-type", b"application/json")]


Tick = tuple[int, int, bytes, bytes]
"""Partition, ms, key and value of a message."""


def json_ticks(filled: Filled, limit: int = N_MESSAGES) -> list[Tick]:
    """Return the first trades as one-tick JSON of the contract by instrument, in order of time."""
    parts = []
    for messages in filled.messages.values():
        runs = [decode_ticks(m.value, Envelope.from_headers(m.headers)).records for m in messages[:-1]]
        records = join_records(runs)
        parts.append(records[~is_heartbeat(records)][:limit])
    records = join_records(parts)
    records = records[np.argsort(records["ts_event"], kind="stable")[:limit]]
    return [
        (
            int(record["instrument_id"]) % PARTITIONS,
            int(record["ts_event"]) // 1_000_000,
            b"%d" % record["instrument_id"],
            _json(record),
        )
        for record in records
    ]


async def fill(bootstrap: str, ticks: list[Tick]) -> None:
    """Make the topic and send the messages, as a producer of single ticks would.

    Without a key Quix Streams makes no windows at all: it skips the message.
    """
    async with admin_client(bootstrap) as admin:
        settings = {"retention.ms": "-1"}
        await admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1, topic_configs=settings)])
    async with producer_for(bootstrap, linger_ms=20) as producer:
        sent = []
        for partition, ts_ms, key, value in ticks:
            sent.append(
                await producer.send(
                    TOPIC, value, key=key, partition=partition, timestamp_ms=ts_ms, headers=_HEADERS
                )
            )
            if len(sent) == 20_000:
                await asyncio.gather(*sent)
                sent.clear()
        await producer.flush()


def bytewax(python: Path, bootstrap: str, count: int) -> tuple[float, int]:
    """Return Bytewax's ticks/s, and how many bars it made."""
    return _run([python, _HERE / "peer_bytewax.py", bootstrap, TOPIC, count])


def quix(python: Path, bootstrap: str, count: int, work: Path) -> tuple[float, int]:
    """Return Quix Streams' ticks/s, and how many bars it made."""
    return _run([python, _HERE / "peer_quix.py", bootstrap, TOPIC, count, work / "quix"])


def n_bars(ticks: list[Tick]) -> int:
    """Return how many 1 s bars there are."""
    return len({(key, ts_ms // 1000) for _, ts_ms, key, _ in ticks})


def run_peers(python: Path | None, ticks: list[Tick], work: Path) -> dict[str, float]:
    """Return our bridge's and each peer's ticks/s on the same topic, one after the other.

    Raises
    ------
    RuntimeError
        A peer did not make the bars that there are.
    """
    from benchmarks.stream.ingest import ingest  # it reads this module's topic

    found: dict[str, float] = {}
    with EmbeddedBroker() as broker:
        asyncio.run(fill(broker.bootstrap, ticks))
        found[BRIDGE] = ingest(broker.bootstrap, len(ticks))
        if python is None:
            return found
        made = {
            "Bytewax": bytewax(python, broker.bootstrap, len(ticks)),
            "Quix Streams": quix(python, broker.bootstrap, len(ticks), work),
        }
    bars = n_bars(ticks)
    for name, (rate, count) in made.items():
        if abs(count - bars) > MISSING_SHARE * bars:
            raise RuntimeError(f"{name} made {count} bars of {bars}")
        found[name] = rate
    return found


def _run(command: list[Any]) -> tuple[float, int]:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[1]} failed:\n{done.stderr[-2000:]}")
    rate, count = done.stdout.split()
    return float(rate), int(count)


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
