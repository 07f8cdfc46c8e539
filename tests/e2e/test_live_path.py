"""Ticks to predictions through a real broker and workers: the same bytes however it is run or disturbed."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cs3g.session import SessionResult
from pipeline.offline import join_graph_runs
from tests.e2e.sessions import (
    N_SECONDS,
    N_TICKS,
    PARTITIONS,
    ROLES,
    START_NS,
    Offline,
    Session,
    config_for,
    run_offline,
    run_online,
)
from topics.connection import admin_client, producer_client, read_to_end, reader_client
from topics.control import DeadLetter, decode_control
from topics.envelope import JSON, Envelope
from topics.graphs_codec import decode_graphs
from topics.groups import partitions_of
from topics.messages import tick_message
from topics.runs import WindowRun
from topics.specs import replay_prefix, topic_names
from topics.tick_builders import trades
from topics.windows_codec import decode_windows

pytestmark = [pytest.mark.e2e, pytest.mark.broker]


@pytest.fixture(scope="module")
def offline() -> Offline:
    return asyncio.run(run_offline())


@pytest.fixture
def is_embedded(broker_kind: str) -> bool:
    return broker_kind == "embedded"


def check_complete(result: SessionResult, offline: Offline, *roles: Any) -> None:
    found = result.collected
    assert found.digest.value() == offline.digest(*roles)
    assert found.digest.n_conflicts == 0
    assert found.gaps == []
    assert {run.role for run in found.predictions} == set(roles)
    assert sum(len(run.ts_close) for run in found.predictions) == len(roles) * len(offline.graphs.ts_close)
    assert found.windows == len(offline.graphs.ts_close)


def check_accounts(result: SessionResult, offline: Offline, spoiled: dict[str, int]) -> None:
    found = result.collected
    assert found.window_ticks == offline.counts.n_window_ticks
    assert found.refused == Counter(offline.refused) + Counter(spoiled)
    refused = found.refused.total() - sum(spoiled.values())
    assert found.window_ticks + refused == result.report.ticks == N_TICKS


def test_the_market_has_all_that_can_happen(offline: Offline) -> None:
    counts = offline.counts
    assert counts.n_ticks == N_TICKS == counts.n_window_ticks + counts.n_late + counts.n_invalid
    assert counts.n_late > 20
    assert set(counts.invalid_causes) == {"price_not_positive", "undefined_price"}
    assert len(offline.graphs.ts_close) >= N_SECONDS
    last_ns = START_NS + (N_SECONDS + 2) * 10**9
    assert offline.graphs.ts_close[-1] < last_ns  # the last tick's window is empty


async def test_windows_graphs_and_predictions_are_what_the_pipeline_makes_without_kafka(
    bootstrap_servers: str, is_embedded: bool, run_id: str, offline: Offline, tmp_path: Path
) -> None:
    result = await run_online(
        bootstrap_servers, run_id, tmp_path, embedded=is_embedded, teacher=True, batch_ticks=7
    )
    check_complete(result, offline, *ROLES)
    check_accounts(result, offline, {})
    topics = config_for(bootstrap_servers, run_id).topics
    windows = [decode_windows(*message) async for message in _messages(bootstrap_servers, topics.windows)]
    for partition in range(PARTITIONS):
        rows = _rows(windows, partition)
        assert len(rows) > N_SECONDS
        assert rows.tobytes() == _rows(offline.windows, partition).tobytes()
    graphs = join_graph_runs(
        [decode_graphs(*message) async for message in _messages(bootstrap_servers, topics.graphs)]
    )
    for field in dataclasses.fields(graphs):
        there, here = getattr(graphs, field.name), getattr(offline.graphs, field.name)
        if isinstance(here, np.ndarray):
            assert (there.dtype, there.tobytes()) == (here.dtype, here.tobytes()), field.name
        else:
            assert there == here, field.name


async def test_three_workers_another_pace_and_messages_that_are_none_change_no_byte(
    bootstrap_servers: str, is_embedded: bool, run_id: str, offline: Offline, tmp_path: Path
) -> None:
    spoil = _Spoiler()
    result = await run_online(
        bootstrap_servers, run_id, tmp_path, embedded=is_embedded, workers=3, speed=10.0, disturb=spoil
    )
    await spoil.done()
    check_complete(result, offline, "student")
    check_accounts(result, offline, {"undecodable": len(spoil.expected)})
    topic = config_for(bootstrap_servers, run_id).topics.dead_letters
    letters = [decode_control(*message) async for message in _messages(bootstrap_servers, topic)]
    found = {
        letter.payload: letter
        for letter in letters
        if isinstance(letter, DeadLetter) and letter.cause == "undecodable"
    }
    assert found.keys() == spoil.expected.keys()
    for payload, words in spoil.expected.items():
        letter = found[payload]
        assert words in letter.detail
        assert "\n" not in letter.detail
        assert (letter.source_topic, letter.partition) == (topic_names(replay_prefix(run_id)).ticks, 0)


async def test_one_tick_a_message_changes_no_byte(
    bootstrap_servers: str, is_embedded: bool, run_id: str, offline: Offline, tmp_path: Path
) -> None:
    result = await run_online(bootstrap_servers, run_id, tmp_path, embedded=is_embedded, batch_ticks=1)
    assert result.report.messages > N_TICKS
    check_complete(result, offline, "student")
    check_accounts(result, offline, {})


async def test_killed_workers_lose_nothing_and_contradict_nothing(
    bootstrap_servers: str, is_embedded: bool, run_id: str, offline: Offline, tmp_path: Path
) -> None:
    kill = _Killer(seed=11, times=5)
    result = await run_online(
        bootstrap_servers,
        run_id,
        tmp_path,
        embedded=is_embedded,
        workers=2,
        teacher=True,
        batch_ticks=7,
        speed=4.0,
        disturb=kill,
    )
    assert kill.killed == {"student": 5, "teacher": 1}
    check_complete(result, offline, *ROLES)
    check_accounts(result, offline, {})


class _Killer:
    """Kills workers (SIGKILL) and starts them again under their names.

    Students at random moments from the first prediction on, the teacher once it has predicted something.
    """

    def __init__(self, seed: int, times: int) -> None:
        generator = np.random.default_rng(seed)
        self._waits = generator.uniform(0.5, 4.0, times).tolist()
        self._victims = generator.integers(1, 3, times).tolist()
        self._due: float | None = None
        self.killed: Counter[str] = Counter()

    def __call__(self, session: Session) -> None:
        if session.roles["teacher"].windows and not self.killed["teacher"]:
            self._kill(session, "teacher", 1)
        if self._due is None:
            if session.roles["student"].windows:
                self._due = time.monotonic() + self._waits.pop()
        elif self._victims and time.monotonic() >= self._due:
            self._kill(session, "student", self._victims.pop())
            self._due = time.monotonic() + (self._waits.pop() if self._waits else 0.0)

    def _kill(self, session: Session, role: str, number: int) -> None:
        name = f"{role}-{number}"
        session.processes.kill(name)
        session.processes.start(name, ["worker", "--role", role, "--id", str(number)])
        self.killed[role] += 1


class _Spoiler:
    """Sends to the tick topic what no decoder takes, once the replay has begun and long before it ends."""

    def __init__(self) -> None:
        self.expected: dict[bytes, str] = {}
        self._sending: asyncio.Task[None] | None = None

    def __call__(self, session: Session) -> None:
        if self._sending is None and session.view.status.startswith("replayed"):
            self._sending = asyncio.create_task(self._send(session.bootstrap, session.run_id))

    async def done(self) -> None:
        assert self._sending is not None, "the replay ended before it had begun"
        await self._sending

    async def _send(self, bootstrap: str, run_id: str) -> None:
        run = trades(instrument_id=4, ts_event=START_NS, price=10**10, size=1)
        message = tick_message(run, run_id=run_id, mode="replay", seq=0, partition=0)
        other = trades(instrument_id=8, ts_event=START_NS, price=10**10, size=1)
        unknown = tick_message(other, run_id=run_id, mode="replay", seq=0, partition=0)
        as_json = [("content-type", JSON.encode())]
        spoiled: list[tuple[bytes, list[tuple[str, bytes]], str]] = [
            (b"\x00garbage", [], "header `content-type` is missing"),
            (b"\xff" * 47, message.headers, "47"),
            (message.value[:-1] + b"\x01", _changed(message.headers, "schema-version", b"99"), "99"),
            (unknown.value, _changed(unknown.headers, "schema", b"mbp-10"), "mbp-10"),
            (b'{"schema": "trades", "price": ', as_json, "JSON"),
            (b'{"schema": "trades", "price": -1}', as_json, "instrument_id"),
        ]
        self.expected = {value: words for value, _, words in spoiled}
        topic = topic_names(replay_prefix(run_id)).ticks
        async with producer_client(bootstrap) as producer:
            for value, headers, _ in spoiled:
                await producer.send_and_wait(topic, value, headers=headers, partition=0)


def _changed(headers: list[tuple[str, bytes]], name: str, value: bytes) -> list[tuple[str, bytes]]:
    return [(key, value if key == name else old) for key, old in headers]


def _rows(runs: list[WindowRun], partition: int) -> np.ndarray:
    """Return one partition's rows in order, each window as it was emitted first."""
    frontier, rows = -1, []
    for run in runs:
        if run.partition == partition:
            rows.append(run.rows[run.rows["ts_close"] > frontier])
            frontier = max(frontier, run.frontier_ns)
    return np.concatenate(rows)


async def _messages(bootstrap: str, topic: str) -> AsyncIterator[tuple[bytes, Envelope]]:
    async with admin_client(bootstrap) as admin, reader_client(bootstrap) as reader:
        partitions = await partitions_of(admin, [topic])
        reader.assign(partitions)
        async for record in read_to_end(reader, partitions):
            yield record.value, Envelope.from_headers(record.headers)
