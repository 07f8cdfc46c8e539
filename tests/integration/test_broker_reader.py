"""What a strategy reads from a real broker."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import numpy as np
import pytest

from tests.integration.broker_topics import make_topics, send
from tests.unit.topics.factories import NANOS_PER_SECOND, SIZE_NS, T0, make_predictions
from topics.admin import create_topics
from topics.client import PredictionReader
from topics.control import Instrument
from topics.cuts import slice_predictions
from topics.directory import InstrumentDirectory
from topics.envelope import Message
from topics.errors import BrokerError, BrokerUnavailable, LiveTopicRefused
from topics.latest import latest_messages, read_latest
from topics.messages import control_message, prediction_message
from topics.reader_core import PredictionGap
from topics.runs import PredictionRun
from topics.specs import SPECS, replay_prefix, topic_names
from topics.types import Role

pytestmark = pytest.mark.broker

RUN = make_predictions(10, 5)


def message(start: int, stop: int, mode: str = "replay", run: PredictionRun = RUN) -> Message:
    return prediction_message(slice_predictions(run, start, stop), run_id="r", mode=mode)  # type: ignore[arg-type]


def windows(runs: list[PredictionRun]) -> list[int]:
    return [(int(ts) - T0) // SIZE_NS - 1 for run in runs for ts in run.ts_close]


async def test_each_window_comes_once_and_gaps_are_told(bootstrap_servers: str, run_id: str) -> None:
    names = await make_topics(bootstrap_servers, run_id)
    await send(
        bootstrap_servers, names.predictions, [message(0, 3), message(0, 3), message(2, 5), message(7, 9)]
    )
    gaps: list[PredictionGap] = []
    async with PredictionReader(
        bootstrap_servers,
        universe="test",
        prefix=replay_prefix(run_id),
        from_beginning=True,
        allow_replay=True,
        on_gap=gaps.append,
    ) as reader:
        runs = await reader.read_available()
        assert windows(runs) == [0, 1, 2, 3, 4, 7, 8]
        assert (
            np.concatenate([run.scores for run in runs]).tobytes()
            == RUN.scores[[0, 1, 2, 3, 4, 7, 8]].tobytes()
        )
        assert [(gap.first_seq, gap.n_windows) for gap in gaps] == [(5, 2)]
        assert reader.gaps == gaps
        assert reader.counts.duplicate == 4
        # And then what comes.
        await send(bootstrap_servers, names.predictions, [message(9, 10)])
        async with asyncio.timeout(10):
            assert windows([await anext(aiter(reader))]) == [9]


async def test_a_reader_starts_with_what_comes_after_it(bootstrap_servers: str, run_id: str) -> None:
    names = await make_topics(bootstrap_servers, run_id)
    await send(bootstrap_servers, names.predictions, [message(0, 3)])
    async with PredictionReader(
        bootstrap_servers, universe="test", prefix=replay_prefix(run_id), allow_replay=True
    ) as reader:
        await send(bootstrap_servers, names.predictions, [message(3, 4)])
        assert windows(await reader.read_available()) == [3]
        assert reader.gaps == []


async def test_a_replay_on_a_live_topic_and_rubbish_are_left_out_and_counted(
    bootstrap_servers: str, run_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    # A deployment's own prefix: live, as far as the reader can tell.
    prefix = f"{run_id}."
    await create_topics(bootstrap_servers, [SPECS["predictions"]], prefix=prefix, embedded=True)
    broken = message(1, 2, "live")
    sent = [
        message(0, 1, "replay"),
        message(0, 1, "live"),
        Message(b"k", b"rubbish", broken.headers),
        Message(b"k", broken.value, []),
        message(1, 2, "live"),
    ]
    await send(bootstrap_servers, topic_names(prefix).predictions, sent)
    with caplog.at_level(logging.WARNING, logger="topics.client"):
        async with PredictionReader(
            bootstrap_servers, universe="test", prefix=prefix, from_beginning=True
        ) as reader:
            assert windows(await reader.read_available()) == [0, 1]
            assert (reader.counts.refused, reader.counts.undecodable) == (1, 2)
    assert len(caplog.records) == 2


async def test_old_windows_are_dropped_by_the_readers_clock(bootstrap_servers: str, run_id: str) -> None:
    names = await make_topics(bootstrap_servers, run_id)
    await send(bootstrap_servers, names.predictions, [message(0, 10)])
    async with PredictionReader(
        bootstrap_servers,
        universe="test",
        prefix=replay_prefix(run_id),
        from_beginning=True,
        allow_replay=True,
        max_age_s=3,
        clock=lambda: T0 + 10 * NANOS_PER_SECOND,
    ) as reader:
        assert windows(await reader.read_available()) == [6, 7, 8, 9]
        assert reader.counts.stale == 6


async def test_roles_are_chosen(bootstrap_servers: str, run_id: str) -> None:
    names = await make_topics(bootstrap_servers, run_id)
    teacher = replace(RUN, role="teacher", model_id="f" * 16)
    await send(bootstrap_servers, names.predictions, [message(0, 2), message(0, 2, run=teacher)])
    seen = {}
    roles: tuple[Role | None, ...] = ("student", "teacher", None)
    for role in roles:
        async with PredictionReader(
            bootstrap_servers,
            universe="test",
            role=role,
            prefix=replay_prefix(run_id),
            from_beginning=True,
            allow_replay=True,
        ) as reader:
            seen[role] = [run.role for run in await reader.read_available()]
    assert seen == {"student": ["student"], "teacher": ["teacher"], None: ["student", "teacher"]}


def test_a_replays_prefix_must_be_asked_for_twice() -> None:
    with pytest.raises(LiveTopicRefused, match="allow_replay=True"):
        PredictionReader("127.0.0.1:1", universe="test", prefix="replay.a.")


async def test_what_is_not_there_is_named(bootstrap_servers: str, run_id: str) -> None:
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
        await PredictionReader("127.0.0.1:1", universe="test").__aenter__()
    with pytest.raises(BrokerError, match=f"{run_id}.predictions.v1"):
        await PredictionReader(bootstrap_servers, universe="test", prefix=f"{run_id}.").__aenter__()
    with pytest.raises(BrokerError, match="async with"):
        await PredictionReader(bootstrap_servers, universe="test").read_available()


async def test_instruments_are_looked_up_when_asked(bootstrap_servers: str, run_id: str) -> None:
    names = await make_topics(bootstrap_servers, run_id)

    def announce(instrument_id: int, symbol: str) -> Message:
        record = Instrument(instrument_id=instrument_id, symbol=symbol, universe="test")
        return control_message(record, run_id="r", mode="replay", key=b"%d" % instrument_id)

    async with InstrumentDirectory(bootstrap_servers, prefix=replay_prefix(run_id)) as directory:
        assert await directory.lookup([1]) == {}
        await send(
            bootstrap_servers, names.instruments, [announce(1, "A"), announce(2, "B"), announce(2, "C")]
        )
        found = await directory.lookup(np.array([1, 2, 3], dtype=np.uint32))
        assert {number: instrument.symbol for number, instrument in found.items()} == {1: "A", 2: "C"}
        # What is known needs no reading: a rename is seen on the next refresh only.
        await send(bootstrap_servers, names.instruments, [announce(1, "AA"), Message(b"9", b"rubbish", [])])
        assert (await directory.lookup([1]))[1].symbol == "A"
        await directory.refresh()
        assert directory.known[1].symbol == "AA"
    with pytest.raises(BrokerError, match="async with"):
        await directory.refresh()


async def test_the_latest_predictions_survive_restarts_of_either_side(
    bootstrap_servers: str, run_id: str
) -> None:
    names = await make_topics(bootstrap_servers, run_id)
    origin = {"run_id": "r", "mode": "replay"}
    sent = [
        *latest_messages(slice_predictions(RUN, 0, 9), **origin),
        *latest_messages(RUN, **origin),
        # A restarted worker sends an older window again.
        *latest_messages(slice_predictions(RUN, 0, 9), **origin),
        *latest_messages(replace(RUN, role="teacher"), **origin),
    ]
    await send(bootstrap_servers, names.predictions_latest, sent)
    latest = await read_latest(
        bootstrap_servers, universe="test", prefix=replay_prefix(run_id), allow_replay=True
    )
    expected = {}
    for window in (8, 9):
        for position in np.flatnonzero(RUN.mask[window]):
            expected[position + 1] = (
                int(RUN.ts_close[window]),
                float(RUN.scores[window, position]),
                "student",
            )
    assert {key: (found.ts_close, found.score, found.role) for key, found in latest.items()} == expected
    with pytest.raises(LiveTopicRefused):
        await read_latest(bootstrap_servers, universe="test", prefix=replay_prefix(run_id))
