"""A live feed of one-tick JSON on one partition of four: silent partitions hold nothing back for ever."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from cs3g.processes import WorkerProcesses
from cs3g.session import worker_environment
from pipeline.config import load_config
from topics.admin import create_topics
from topics.client import PredictionReader
from topics.connection import producer_client
from topics.latest import read_latest
from topics.types import NANOS_PER_SECOND

pytestmark = [pytest.mark.e2e, pytest.mark.broker]

DEADLINE_S = 90.0
INSTRUMENTS = (4, 8)


async def test_json_ticks_on_one_partition_are_predicted(
    bootstrap_servers: str, broker_kind: str, run_id: str, tmp_path: Path
) -> None:
    prefix = f"{run_id}."
    config = load_config(
        bootstrap_servers=bootstrap_servers, topic_prefix=prefix, universe="live", idle_timeout_ns="1s"
    )
    await create_topics(bootstrap_servers, prefix=prefix, partitions=4, embedded=broker_kind == "embedded")
    with WorkerProcesses(tmp_path, worker_environment(config)) as processes:
        processes.start("student-1", ["worker"])
        async with PredictionReader(
            bootstrap_servers, universe="live", prefix=prefix, from_beginning=True
        ) as reader:
            feeding = asyncio.create_task(_feed(bootstrap_servers, config.topics.ticks))
            try:
                async with asyncio.timeout(DEADLINE_S):
                    runs = [run async for run in _first(reader, n_windows=3)]
                    latest = await _latest(bootstrap_servers, prefix)
            finally:
                feeding.cancel()
    assert {symbol for run in runs for symbol in run.symbols} == {"#4", "#8"}
    assert all(run.mask.any(axis=1).all() for run in runs)
    assert latest.keys() == set(INSTRUMENTS)


async def _feed(bootstrap: str, topic: str) -> None:
    """Send a trade of each instrument every tenth of a second, at the wall clock, until cancelled."""
    async with producer_client(bootstrap) as producer:
        number = 0
        while True:
            number += 1
            for instrument in INSTRUMENTS:
                tick = {
                    "schema": "trades",
                    "instrument_id": instrument,
                    "ts_event": time.time_ns(),
                    "price": f"{100 + number % 7}.25",
                    "size": 10,
                }
                await producer.send_and_wait(
                    topic,
                    json.dumps(tick).encode(),
                    headers=[("content-type", b"application/json")],
                    partition=0,
                )
            await asyncio.sleep(0.1)  # the pace of the feed


async def _first(reader: PredictionReader, *, n_windows: int):
    seen = 0
    async for run in reader:
        assert run.size_ns == NANOS_PER_SECOND
        yield run
        seen += len(run.ts_close)
        if seen >= n_windows:
            return


async def _latest(bootstrap: str, prefix: str):
    """Poll the compacted topic until every instrument is there; the caller has a deadline."""
    while True:
        found = await read_latest(bootstrap, universe="live", prefix=prefix)
        if found.keys() == set(INSTRUMENTS):
            return found
        await asyncio.sleep(0.2)  # between two polls
