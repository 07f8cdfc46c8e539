"""What may be in flight: bounded, blind to the open window, and never a reason to wait for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cs3g.flow import FlowSink, InFlight
from replay.batching import SentTail, TickBatch
from topics.control import EndOfReplay, Instrument
from topics.tick_builders import trades

SIZE = 10
PARTITIONS = 3


def times(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def in_flight(limit: int = 20, lateness_ns: int = 0) -> InFlight:
    found = InFlight(SIZE, PARTITIONS, lateness_ns=lateness_ns, limit_cells=limit)
    found.n_instruments = 2
    return found


def test_closable_windows_count_until_they_are_predicted() -> None:
    flight = in_flight(limit=8)
    for partition in range(PARTITIONS):
        flight.sent(partition, times(1, 2))
    assert not flight.is_full
    for partition in range(PARTITIONS):
        flight.sent(partition, times(11))
    assert not flight.is_full  # 6 ticks and one window of two instruments: 8 cells
    for partition in range(PARTITIONS):
        flight.sent(partition, times(21))
    assert flight.is_full
    flight.predicted(SIZE)
    assert not flight.is_full


@given(
    ticks=st.lists(st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=50), min_size=1, max_size=30),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_an_open_window_alone_never_fills_it(ticks: list[list[int]], data: st.DataObject) -> None:
    flight = in_flight(limit=0)
    for batch in ticks:
        flight.sent(data.draw(st.integers(0, PARTITIONS - 1)), times(*sorted(batch)))
        assert not flight.is_full


def test_a_partition_that_lags_keeps_windows_from_counting() -> None:
    flight = in_flight(limit=0)
    for window in range(50):
        for partition in range(PARTITIONS - 1):
            flight.sent(partition, times(window * SIZE))
    assert not flight.is_full
    flight.sent(PARTITIONS - 1, times(SIZE))
    assert flight.is_full
    flight.predicted(SIZE)
    assert not flight.is_full


def test_windows_that_lateness_keeps_open_do_not_count() -> None:
    flight = in_flight(limit=0, lateness_ns=3 * SIZE)
    for window in range(3):
        for partition in range(PARTITIONS):
            flight.sent(partition, times(window * SIZE + 9))
    assert not flight.is_full
    for partition in range(PARTITIONS):
        flight.sent(partition, times(4 * SIZE))
    assert flight.is_full
    flight.predicted(SIZE)
    assert not flight.is_full


@given(
    steps=st.lists(st.tuples(st.integers(0, 25), st.integers(0, PARTITIONS - 1)), min_size=1, max_size=120),
    cut=st.integers(1, 7),
    limit=st.integers(0, 40),
    lateness_ns=st.sampled_from([0, 5, SIZE, 35]),
)
@settings(max_examples=150, deadline=None)
def test_it_is_never_full_once_all_that_can_close_is_predicted(
    steps: list[tuple[int, int]], cut: int, limit: int, lateness_ns: int
) -> None:
    flight = in_flight(limit, lateness_ns)
    waiting: dict[int, list[int]] = {partition: [] for partition in range(PARTITIONS)}
    reached: dict[int, int] = {}
    windows: set[int] = set()
    now = 0

    def send(partition: int) -> None:
        batch, waiting[partition] = waiting[partition], []
        flight.sent(partition, times(*batch))
        reached[partition] = max(reached.get(partition, 0), *batch)
        windows.update(ts // SIZE + 1 for ts in batch)
        if flight.is_full:
            # What workers do: close what every partition's watermark has passed, and predict it.
            watermark = min(reached.values()) - lateness_ns
            closed = [end * SIZE for end in windows if end * SIZE <= watermark]
            assert closed, "full, though nothing that was sent can close"
            flight.predicted(max(closed))
            assert not flight.is_full

    for gap, partition in steps:
        now += gap
        waiting[partition].append(now)
        if len(waiting[partition]) == cut:
            send(partition)
    for partition, batch in waiting.items():
        if batch:
            send(partition)


class Sink:
    """Takes everything; calls `on_flush` in the middle of a flush, as the event loop may."""

    publishes = True

    def __init__(self) -> None:
        self.batches: list[TickBatch] = []
        self.on_flush: Callable[[], None] = lambda: None

    async def start(self, instruments: Sequence[Instrument], run_id: str) -> Mapping[int, SentTail]:
        return {}

    async def send(self, batch: TickBatch) -> None:
        self.batches.append(batch)

    async def flush(self) -> None:
        await asyncio.sleep(0)
        self.on_flush()

    async def finish(self, ends: Sequence[EndOfReplay], run_id: str) -> None:
        pass


def batch(*values: int, partition: int = 0) -> TickBatch:
    run = trades(instrument_id=1, ts_event=list(values), price=10**9, size=1)
    return TickBatch(run, partition, seq=0, run_id="r")


def flow_of(sink: Sink, clock: Callable[[], float] = lambda: 0.0) -> tuple[FlowSink, InFlight]:
    flight = InFlight(SIZE, 1, limit_cells=0)
    return FlowSink(sink, flight, clock), flight


async def test_a_full_flow_waits_for_predictions() -> None:
    sink = Sink()
    flow, flight = flow_of(sink)
    await flow.send(batch(1))
    await flow.send(batch(11))
    sending = asyncio.create_task(flow.send(batch(21)))
    for _ in range(5):
        await asyncio.sleep(0)
        flow.wake()  # nothing new is predicted
    assert not sending.done()
    assert len(sink.batches) == 2
    flight.predicted(SIZE)
    flow.wake()
    async with asyncio.timeout(5):
        await sending
    assert len(sink.batches) == 3


async def test_what_is_predicted_during_the_flush_is_not_missed() -> None:
    sink = Sink()
    flow, flight = flow_of(sink)
    await flow.send(batch(1))
    await flow.send(batch(11))

    def predict() -> None:
        flight.predicted(SIZE)
        flow.wake()

    sink.on_flush = predict
    async with asyncio.timeout(5):
        await flow.send(batch(21))
    assert len(sink.batches) == 3


async def test_latency_counts_from_the_tick_that_let_a_window_close() -> None:
    sink, now = Sink(), [100.0]
    flow, flight = flow_of(sink, lambda: now[0])
    flight.predicted(10**9)
    await flow.send(batch(3))
    assert flow.latency_s(SIZE) is None
    now[0] = 101.0
    await flow.send(batch(12))
    now[0] = 104.0
    assert flow.latency_s(SIZE) == 3.0
    assert flow.latency_s(2 * SIZE) is None
    await flow.finish([], "r")
    now[0] = 106.0
    assert flow.latency_s(2 * SIZE) == 2.0
