"""A live student changes its model while ticks go on coming, and is killed: no window is missing, none comes twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from cs3g.announcing import announce
from cs3g.collect import Collector
from cs3g.models import load_model
from cs3g.processes import WorkerProcesses
from cs3g.session import worker_environment
from pipeline.config import PipelineConfig, load_config
from pipeline.offline import join_graph_runs
from tests.e2e.swaps import WARM_WINDOWS, Made, make_models, swapped
from topics.admin import create_topics
from topics.connection import producer_client
from topics.cuts import slice_graphs
from topics.digest import prediction_digest
from topics.envelope import Envelope
from topics.graphs_codec import decode_graphs
from topics.messages import tick_message
from topics.runs import GraphRun
from topics.tail import read_tail
from topics.tick_builders import trades

pytestmark = [pytest.mark.e2e, pytest.mark.broker]

UNIVERSE = "live"
SIZE_NS = 200_000_000
INSTRUMENTS = np.arange(1, 7)
TICK_INTERVAL_S = 0.05
LEAD_WINDOWS = 15
"""So far ahead, 3 s, is the boundary announced; a busy machine may take it over later, never earlier."""

DEADLINE_S = 240.0


@asynccontextmanager
async def feed(config: PipelineConfig) -> AsyncIterator[None]:
    """Send trades of every instrument at the wall clock until left."""
    over, generator = asyncio.Event(), np.random.default_rng(3)

    async def send() -> None:
        number = 0
        async with producer_client(config.bootstrap_servers) as producer:
            while not over.is_set():
                prices = 100.0 * np.exp(0.01 * generator.standard_normal(len(INSTRUMENTS)))
                run = trades(
                    instrument_id=INSTRUMENTS,
                    ts_event=np.full(len(INSTRUMENTS), time.time_ns()),
                    price=np.rint(prices * 1e9).astype(np.int64),
                    size=generator.integers(1, 99, len(INSTRUMENTS)),
                )
                message = tick_message(run, run_id="", mode="live", seq=number, partition=0)
                await producer.send_and_wait(
                    config.topics.ticks, message.value, key=message.key, headers=message.headers, partition=0
                )
                number += 1
                await asyncio.sleep(TICK_INTERVAL_S)  # the pace of the feed

    feeding = asyncio.create_task(send())
    try:
        yield
    finally:
        over.set()
        await feeding


async def graphs_of(config: PipelineConfig) -> GraphRun:
    """Return every snapshot once, in order; a run of a worker that started again may begin with some that were sent."""
    records = await read_tail(config.bootstrap_servers, config.topics.graphs, lambda _: False)
    seen, runs = -1, []
    for record in records:
        run = decode_graphs(record.value or b"", Envelope.from_headers(record.headers))
        fresh = slice_graphs(run, int(np.searchsorted(run.ts_close, seen, side="right")), len(run.ts_close))
        if len(fresh.ts_close):
            runs.append(fresh)
            seen = int(fresh.ts_close[-1])
    return join_graph_runs(runs)


async def test_a_live_student_is_replaced_between_two_windows_and_killed_after(
    bootstrap_servers: str, broker_kind: str, run_id: str, tmp_path: Path
) -> None:
    made: Made = make_models(tmp_path)
    config = load_config(
        bootstrap_servers=bootstrap_servers,
        topic_prefix=f"{run_id}.",
        universe=UNIVERSE,
        mode="live",
        window_size_ns=SIZE_NS,
        tick_partitions=1,
        idle_timeout_ns="1s",
        registry=made.registry.url,
        warm_windows=WARM_WINDOWS,
    )
    await create_topics(
        bootstrap_servers, prefix=config.topic_prefix, partitions=1, embedded=broker_kind == "embedded"
    )
    old, new = load_model(config, "student"), made.model("student")
    worker = ["worker", "--role", "student", "--id", "1"]
    with WorkerProcesses(tmp_path / "logs", worker_environment(config)) as processes:
        processes.start("student-1", worker)
        async with Collector(bootstrap_servers, config.topics, UNIVERSE) as collector:
            found = collector.found

            async def wait(condition: Callable[[], bool]) -> None:
                async with asyncio.timeout(DEADLINE_S):
                    while not condition():
                        processes.check()
                        await collector.poll()

            def served() -> int:
                return sum(len(run.ts_close) for run in found.predictions if run.model_id == new.model_id)

            async with feed(config):
                await wait(lambda: sum(len(run.ts_close) for run in found.predictions) > WARM_WINDOWS)
                since = found.last_close["student"] + LEAD_WINDOWS * SIZE_NS
                await announce(
                    config,
                    made.registry.activate(UNIVERSE, "student", new.model_id, since_ts_close=since),
                )
                await wait(lambda: served() > 5)
                processes.kill("student-1")
                processes.start("student-1", worker)
                before = served()
                await wait(lambda: served() > before + 10)
            # A silent feed closes its last windows by the clock, and then nothing more comes.
            await wait(lambda: found.windows > 0 and found.last_close["student"] >= found.last_window_ns)
            await collector.drain()
        graphs = await graphs_of(config)
    ends = np.concatenate([run.ts_close for run in found.predictions])
    models = np.concatenate([[run.model_id] * len(run.ts_close) for run in found.predictions])
    numbers = np.concatenate([run.seq + np.arange(len(run.ts_close)) for run in found.predictions])
    assert ends.tolist() == graphs.ts_close.tolist()  # each window once, none missing
    assert numbers.tolist() == list(range(len(ends)))
    assert (found.gaps, found.digest.n_conflicts) == ([], 0)
    place = int(np.searchsorted(ends, ends[models == new.model_id][0]))
    assert set(models[:place]) == {old.model_id}
    assert set(models[place:]) == {new.model_id}
    assert ends[place] > since
    assert found.digest.value() == prediction_digest(swapped(old, new, graphs, place))
