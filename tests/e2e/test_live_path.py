"""Ticks to predictions through a real broker and workers: the same bytes however it is run or disturbed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cs3g.processes import WorkerProcesses
from tests.e2e.sessions import N_TICKS, START_NS, offline_digest, run_online, write_ticks
from topics.connection import producer_client
from topics.messages import tick_message
from topics.specs import replay_prefix, topic_names
from topics.tick_builders import trades

pytestmark = [pytest.mark.e2e, pytest.mark.broker]


@pytest.fixture(scope="module")
def ticks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ticks(tmp_path_factory.mktemp("ticks") / "ticks.parquet")


async def test_both_roles_predict_what_the_pipeline_predicts_without_kafka(
    bootstrap_servers: str, run_id: str, ticks: Path, tmp_path: Path
) -> None:
    result = await run_online(bootstrap_servers, run_id, ticks, tmp_path, teacher=True)
    found = result.collected
    assert found.digest.value() == await offline_digest(ticks, ("student", "teacher"))
    assert {run.role for run in found.predictions} == {"student", "teacher"}
    assert found.window_ticks == result.report.ticks == N_TICKS
    assert not found.refused
    assert not found.gaps


async def test_three_workers_small_messages_and_bad_ones_change_no_byte(
    bootstrap_servers: str, run_id: str, ticks: Path, tmp_path: Path
) -> None:
    spoil = _Spoiler(bootstrap_servers, run_id)
    result = await run_online(
        bootstrap_servers, run_id, ticks, tmp_path, workers=3, batch_ticks=7, speed=10.0, on_poll=spoil
    )
    await spoil.done()
    found = result.collected
    assert found.digest.value() == await offline_digest(ticks, ("student",))
    assert found.window_ticks == result.report.ticks == N_TICKS
    assert found.refused == {"late": 3, "price_not_positive": 1, "undecodable": 2}
    assert found.digest.n_conflicts == 0
    assert not found.gaps


class _Spoiler:
    """Sends what no window may take once predictions flow: garbage, an unknown version, late and bad ticks."""

    def __init__(self, bootstrap: str, run_id: str) -> None:
        self._bootstrap = bootstrap
        self._run_id = run_id
        self._polls = 0
        self._sending: asyncio.Task[None] | None = None

    def __call__(self, processes: WorkerProcesses) -> None:
        self._polls += 1
        # The first second of ticks is closed by then: a replay of 100 s at tenfold speed polls every 0.1 s.
        if self._polls == 60:
            self._sending = asyncio.create_task(self._send())

    async def done(self) -> None:
        assert self._sending is not None, "the replay ended before anything was sent"
        await self._sending

    async def _send(self) -> None:
        topic = topic_names(replay_prefix(self._run_id)).ticks
        late = trades(instrument_id=4, ts_event=[START_NS + n for n in range(3)], price=10**10, size=1)
        free = trades(instrument_id=4, ts_event=START_NS, price=-(10**9), size=1)
        async with producer_client(self._bootstrap) as producer:
            await producer.send_and_wait(topic, b"\x00garbage", partition=0)
            message = tick_message(late, run_id=self._run_id, mode="replay", seq=0, partition=0)
            newer = [(name, b"99" if name == "schema-version" else value) for name, value in message.headers]
            await producer.send_and_wait(topic, message.value, headers=newer, partition=0)
            await producer.send_and_wait(topic, message.value, headers=message.headers, partition=0)
            message = tick_message(free, run_id=self._run_id, mode="replay", seq=0, partition=0)
            await producer.send_and_wait(topic, message.value, headers=message.headers, partition=0)
