"""Whole replays, in memory."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import numpy as np
import pytest

from replay.config import ReplayConfig
from replay.errors import ConfigError, EmptyReplay, InvalidRow, ResumeMismatch, SchemaMismatch
from replay.runner import run_replay
from replay.sessions import Session
from replay.sinks import MemorySink, NullSink
from replay.sources.base import StreamSource
from tests.unit.replay.factories import T0, ManualClock, cut, memory_source, trades
from topics.control import EndOfReplay, decode_control
from topics.envelope import Envelope
from topics.ticks import decode_ticks, is_heartbeat
from topics.types import NANOS_PER_SECOND as S


def market(n: int = 400, *, seed: int = 0):
    """Three symbols in two sources, with many equal times, over about 40 s."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, 400, n)) * (S // 10)
    first = trades(times, ids=rng.integers(1, 3, n), prices=rng.uniform(1, 9, n))
    other = trades(times[::2] + S // 10, ids=1, prices=rng.uniform(1, 9, len(times[::2])))
    return first, other


def sources(rows: int = 50):
    first, other = market()
    return [
        memory_source(first, symbols=("B", "C"), rows=rows),
        memory_source(other, symbols=("A",), rows=rows + 7),
    ]


def config(**options) -> ReplayConfig:
    return ReplayConfig(**{"run_id": "r1", "partitions": 2, "batch_ticks": 20} | options)


def decoded(sink: MemorySink):
    """Return each partition's records, and its end-of-replay record."""
    records, ends = {}, {}
    for partition, messages in sink.messages.items():
        envelopes = [Envelope.from_headers(message.headers) for message in messages]
        assert all(envelope.run_id == "r1" and envelope.mode == "replay" for envelope in envelopes)
        assert [envelope.schema for envelope in envelopes[:-1]] == ["trades"] * (len(messages) - 1)
        runs = [decode_ticks(m.value, e).records for m, e in zip(messages[:-1], envelopes[:-1], strict=True)]
        assert [envelope.seq for envelope in envelopes[:-1]] == [
            sum(len(run) for run in runs[:i]) for i in range(len(runs))
        ]
        records[partition] = np.concatenate(runs)
        ends[partition] = decode_control(messages[-1].value, envelopes[-1])
    return records, ends


async def replayed(**options):
    sink = MemorySink()
    report = await run_replay(config(**options), sources(), sink, clock=ManualClock())
    return sink, report


async def test_every_tick_arrives_once_in_order_in_its_partition() -> None:
    sink, report = await replayed()
    records, ends = decoded(sink)
    first, other = market()
    first["instrument_id"] += 1  # B and C are 2 and 3, A is 1
    joined = np.concatenate([first, other])
    expected = joined[np.argsort(joined["ts_event"], kind="stable")]
    for partition, found in records.items():
        ticks = found[~is_heartbeat(found)]
        assert ticks.tobytes() == expected[expected["instrument_id"] % 2 == partition].tobytes()
        assert (np.diff(found["ts_event"].astype(np.int64)) >= 0).all()
        assert ends[partition] == EndOfReplay(
            ts_last=int(expected["ts_event"].max()), ticks=len(ticks), total_ticks=600, digest=report.digest
        )
    assert report.ticks == report.rows == 600
    assert report.ticks_by_symbol == {
        symbol: int((expected["instrument_id"] == number).sum())
        for number, symbol in enumerate("ABC", start=1)
    }
    assert report.ticks_by_partition == tuple(end.ticks for end in ends.values())
    assert report.messages == sum(len(messages) - 1 for messages in sink.messages.values())
    assert (report.not_selected, report.skipped, report.is_complete) == (0, {}, True)


async def test_both_partitions_hear_the_same_heartbeats() -> None:
    sink, report = await replayed()
    records, _ = decoded(sink)
    beats = {p: found["ts_event"][is_heartbeat(found)].tolist() for p, found in records.items()}
    assert beats[0] == beats[1]
    assert len(beats[0]) >= 30
    assert all(beat % S == 0 for beat in beats[0])
    assert report.heartbeats == 2 * len(beats[0])


async def test_instruments_are_announced() -> None:
    sink, _ = await replayed(universe="u")
    assert [(one.instrument_id, one.symbol, one.universe) for one in sink.instruments] == [
        (1, "A", "u"),
        (2, "B", "u"),
        (3, "C", "u"),
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"batch_ticks": 1},
        {"batch_ticks": 7},
        {"speed": 1.0},
        {"speed": 100.0, "max_gap_s": 0.01},
        {"check_first": False},
    ],
)
async def test_neither_pace_nor_messages_change_what_a_partition_gets(options) -> None:
    plain, report = await replayed()
    other, other_report = await replayed(**options)
    assert other_report.digest == report.digest
    expected, _ = decoded(plain)
    found, _ = decoded(other)
    assert {p: one.tobytes() for p, one in found.items()} == {p: one.tobytes() for p, one in expected.items()}


@pytest.mark.parametrize("rows", [1, 13, 10_000])
async def test_chunks_of_the_reader_do_not_change_the_digest(rows: int) -> None:
    _, report = await replayed()
    other = await run_replay(config(partitions=5), sources(rows), NullSink())
    assert other.digest == report.digest


async def test_another_tick_is_another_digest() -> None:
    _, report = await replayed()
    _, fewer = await replayed(limit=599)
    assert fewer.digest != report.digest


async def test_the_range_is_half_open_and_everything_is_accounted_for() -> None:
    start, end = T0 + 5 * S, T0 + 20 * S
    sink, report = await replayed(start_ns=start, end_ns=end)
    records, _ = decoded(sink)
    times = np.concatenate([found["ts_event"][~is_heartbeat(found)] for found in records.values()])
    first, other = market()
    every = np.concatenate([first["ts_event"], other["ts_event"]])
    assert Counter(times.tolist()) == Counter(every[(every >= start) & (every < end)].tolist())
    assert report.ticks == len(times)
    assert report.rows == report.ticks + report.not_selected


async def test_the_recorders_order_does_not_end_at_the_first_tick_past_the_end() -> None:
    records = trades([0, 30, 10, 40])
    records["ts_recv"] = T0 + np.arange(4)
    options = config(clock="ts_recv", end_ns=T0 + 20)
    report = await run_replay(options, [memory_source(records)], NullSink())
    assert report.ticks == 2


async def test_a_limit_counts_ticks_over_all_symbols() -> None:
    sink, report = await replayed(limit=17)
    records, ends = decoded(sink)
    assert report.ticks == 17 == sum(end.ticks for end in ends.values())
    assert sum((~is_heartbeat(found)).sum() for found in records.values()) == 17


async def test_a_session_keeps_its_hours_only() -> None:
    records = trades(np.arange(0, 24 * 3600, 600) * S)
    report = await run_replay(config(session=Session.parse("RTH")), [memory_source(records)], NullSink())
    assert report.ticks == 39  # of 6.5 hours, six an hour


async def test_a_paced_replay_keeps_to_the_schedule() -> None:
    clock = ManualClock(overslept_ns=3_000_000)
    sink = MemorySink()
    report = await run_replay(config(speed=10.0), sources(), sink, clock=clock)
    assert report.wall_s == pytest.approx(report.event_s / 10, abs=0.01)
    assert report.speed == pytest.approx(10.0, rel=0.01)
    # Oversleeping does not add up: every tick is at most one sleep late.
    assert 0 < (report.lag_worst_s or 0) <= 0.0041
    assert 0 < (report.lag_p99_s or 0) <= (report.lag_worst_s or 0)


async def test_a_cap_on_gaps_shortens_the_night() -> None:
    records = trades([0, 10 * 3600 * S, 10 * 3600 * S + S])
    clock = ManualClock()
    report = await run_replay(
        config(speed=1.0, max_gap_s=2.0), [memory_source(records)], NullSink(), clock=clock
    )
    assert report.wall_s == pytest.approx(3.0, abs=0.1)
    assert max(clock.slept) <= 0.25  # so that a stop is noticed


@pytest.mark.parametrize("speed", [0.0, 5.0])
async def test_a_stopped_replay_flushes_and_says_that_it_is_incomplete(speed: float) -> None:
    stop, sink = asyncio.Event(), MemorySink()

    def on_progress(progress) -> None:
        if progress.stage == "replay" and progress.ticks >= 100:
            stop.set()

    many = memory_source(
        trades(np.arange(100_000) * 1_000_000, ids=1 + np.arange(100_000) % 2), symbols=("A", "B")
    )
    report = await run_replay(
        config(speed=speed), [many], sink, clock=ManualClock(), on_progress=on_progress, stop=stop
    )
    assert not report.is_complete
    assert 100 <= report.ticks < 100_000
    held = [
        decode_ticks(message.value, Envelope.from_headers(message.headers)).records
        for messages in sink.messages.values()
        for message in messages
    ]
    assert sum((~is_heartbeat(found)).sum() for found in held) == report.ticks
    assert "INCOMPLETE" in report.as_text()


async def test_a_cancelled_replay_leaves_nothing_in_flight() -> None:
    class SlowSink(MemorySink):
        flushed = 0

        async def send(self, batch) -> None:
            await super().send(batch)
            task.cancel()

        async def flush(self) -> None:
            self.flushed += 1

    sink = SlowSink()
    task = asyncio.ensure_future(run_replay(config(), sources(), sink))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sink.flushed == 1
    assert sink.messages


async def progress_of(sink, **options):
    seen = []
    await run_replay(config(**options), sources(), sink, clock=ManualClock(), on_progress=seen.append)
    return seen


async def test_progress_ends_at_one_and_never_goes_back() -> None:
    plain, paced = await progress_of(MemorySink()), await progress_of(MemorySink(), speed=9.0)
    for seen in (plain, paced):
        assert (seen[0].stage, seen[0].fraction) == ("check", None)
        fractions = [progress.fraction for progress in seen if progress.stage == "replay"]
        assert fractions == sorted(fractions)
        assert (fractions[-1], seen[-1].ticks) == (1.0, 600)
    assert len(paced) > 100
    assert [(one.stage, one.fraction) for one in await progress_of(NullSink())] == [("replay", None)]


async def test_a_stop_while_the_input_is_checked_sends_nothing() -> None:
    stop, sink = asyncio.Event(), MemorySink()
    stop.set()
    report = await run_replay(config(), sources(), sink, stop=stop)
    assert (report.is_complete, report.ticks, report.messages) == (False, 0, 0)
    assert not sink.messages
    assert not sink.instruments


def damaged() -> StreamSource:
    def read(tally):
        yield from cut(trades(range(100)), 10)
        raise InvalidRow("x.csv", 101, "price", -1, "must not be negative")

    return StreamSource("x.csv", "trades", "ts_event", ("A",), read)


async def test_damage_at_the_end_of_the_input_leaves_nothing_half_written() -> None:
    sink = MemorySink()
    with pytest.raises(InvalidRow, match="row 101"):
        await run_replay(config(), [damaged()], sink)
    assert not sink.messages
    assert not sink.instruments
    with pytest.raises(InvalidRow, match="row 101"):
        await run_replay(config(check_first=False), [damaged()], sink)
    assert not any(
        Envelope.from_headers(messages[-1].headers).schema == "end-of-replay"
        for messages in sink.messages.values()
    )


@pytest.mark.parametrize("sink", [MemorySink(), NullSink()])
async def test_an_empty_selection_is_an_error(sink) -> None:
    with pytest.raises(EmptyReplay, match="nothing to replay: 600 rows read"):
        await run_replay(config(start_ns=T0 + 10**6 * S), sources(), sink)


async def test_a_replay_that_ends_before_the_topic_does_is_refused() -> None:
    class Ahead(MemorySink):
        async def start(self, instruments, run_id):
            from replay.batching import SentTail

            return {1: SentTail(5000, trades([0]))}

    with pytest.raises(ResumeMismatch, match="partition 1 holds 5001 records"):
        await run_replay(config(), sources(), Ahead())


async def test_sources_of_different_kinds_are_refused() -> None:
    with pytest.raises(SchemaMismatch, match="ohlcv-1d in memory of A; trades in memory of A"):
        await run_replay(
            config(), [memory_source(trades([0])), memory_source(trades([0]), schema="ohlcv-1d")], NullSink()
        )
    with pytest.raises(ConfigError, match="no ts_recv"):
        await run_replay(config(clock="ts_recv"), [memory_source(trades([0]), schema="ohlcv-1d")], NullSink())
    with pytest.raises(EmptyReplay, match="no source holds any"):
        await run_replay(config(), [], NullSink())


class StepGate:
    """Lets ten seconds of event time go at a time, and notes what was sent at each wait."""

    def __init__(self, sink: MemorySink) -> None:
        self.limit_ns = T0 + 10 * S
        self.sent_to_ns: list[int] = []
        self.asked_to_end = 0
        self._sink = sink

    def released(self, ts_event, is_tick) -> int:
        assert len(is_tick) == len(ts_event)
        return int(np.searchsorted(ts_event, self.limit_ns))

    def may_end(self) -> bool:
        self.asked_to_end += 1
        return self.asked_to_end > 2

    async def wait(self) -> None:
        messages = [message for part in self._sink.messages.values() for message in part]
        runs = [decode_ticks(m.value, Envelope.from_headers(m.headers)).records for m in messages]
        self.sent_to_ns.append(max(int(run["ts_event"].max()) for run in runs))
        self.limit_ns += 10 * S


async def test_a_gate_holds_everything_later_back_and_changes_nothing() -> None:
    sink = MemorySink()
    gate = StepGate(sink)
    report = await run_replay(config(), sources(), sink, gate=gate)
    *on_the_way, _, _ = gate.sent_to_ns  # twice it may not end yet
    assert gate.asked_to_end == 3
    assert len(on_the_way) >= 3
    for number, sent_to_ns in enumerate(on_the_way, start=1):
        # Everything up to the gate is with the broker when it is waited for: nothing lingers in a buffer.
        assert T0 + (10 * number - 1) * S <= sent_to_ns < T0 + 10 * number * S
    free, free_report = await replayed()
    assert report.digest == free_report.digest
    for partition, found in decoded(sink)[0].items():
        assert found.tobytes() == decoded(free)[0][partition].tobytes()
    with pytest.raises(ConfigError, match="`speed`"):
        await run_replay(config(speed=2.0), sources(), NullSink(), gate=gate)


async def test_the_report_is_json_and_text() -> None:
    _, report = await replayed(limit=10)
    assert json.loads(json.dumps(report.as_dict()))["digest"] == report.digest
    text = report.as_text()
    assert "10 ticks of 3 symbols" in text
    assert text.splitlines()[-1] == f"  digest {report.digest}"
