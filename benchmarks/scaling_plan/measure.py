"""Times the pure code, warm and in one process, for the defaults of `Costs`: a minute of one core."""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import zstandard

from benchmarks.scaling_plan.costs import MESSAGE_TICKS, REFRESH_WINDOWS, Costs
from benchmarks.ticks import TickCycle, instruments_of
from cs3g.models import load_model
from pipeline.barrier import WindowBarrier
from pipeline.config import load_config
from pipeline.graph_config import InstrumentDirectory
from pipeline.graph_state import GraphState
from pipeline.graphs import build_graphs
from pipeline.scoring import ScoringState, score_run
from pipeline.windows import WindowAggregator
from topics.compression import ZSTD_LEVEL
from topics.envelope import Envelope, Message
from topics.graphs_codec import decode_graphs
from topics.messages import graph_message, prediction_message, tick_message, window_message
from topics.runs import TickRun
from topics.ticks import decode_ticks, heartbeat
from topics.types import Float64Array
from topics.windows_codec import decode_windows

INSTRUMENTS: Final = (250, 500, 1000, 2000)
CHECK_INSTRUMENTS: Final = 8000  # how far the fit carries; not part of it
PARTITIONS: Final = 4
WINDOW_NS: Final = 1_000_000_000
TICK_WINDOW: Final = 100_000
BATCH_BYTES: Final = 256 * 1024  # what a producer compresses at once
WARM_WINDOWS: Final = 136  # all pairs of the lead are there from the 130th on; a multiple of the strides

RUN_INSTRUMENTS: Final = 500
RUN_WINDOW_TICKS: Final = 100_000


@dataclass(frozen=True)
class WorkerRun:
    """CPU seconds of a worker for ticks of 500 instruments in four partitions and windows of 10 s."""

    ticks: int
    message_ticks: int
    worker_s: float


RUNS: Final = (WorkerRun(4_000_000, 1_000, 1.1), WorkerRun(1_000_000, 200, 0.42))
"""(b) and (c) of the table of CPU seconds in docs/speed.md."""


@dataclass
class _Clock:
    """Seconds by what was timed, one entry for each repeat."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.times[name].append(time.perf_counter() - started)

    def median(self, *names: str) -> float:
        return sum(float(np.median(self.times[name])) for name in names)


def measure(rounds: int = 5, repeats: int = 32) -> tuple[Costs, list[str]]:
    """Return the costs on this machine, and lines that say what they were made of.

    Parameters
    ----------
    rounds
        How often all is timed anew; the sizes take turns, so that somebody else's minute spoils none of them.
    repeats
        Windows that are timed for each number of instruments and round; a multiple of the strides.
    """
    gc.collect()
    gc.freeze()
    ticks, clocks, sizes = _Clock(), {n: _Clock() for n in INSTRUMENTS}, {}
    for _ in range(rounds):
        tick_wire_bytes = _ticks(repeats // 2, ticks)
        for n in INSTRUMENTS:
            sizes[n] = _windows(n, repeats, clocks[n])
    counts = np.array(INSTRUMENTS, float)
    plain = np.array([clocks[n].median("graph") for n in INSTRUMENTS])
    refresh = np.array([clocks[n].median("refresh") for n in INSTRUMENTS])
    row_s, pair_s = _fit(counts, plain)
    refresh_row_s, refresh_pair_s = _fit(counts, refresh - plain)
    n = INSTRUMENTS[-1]
    clock = clocks[n]
    costs = Costs(
        tick_s=ticks.median("ticks") / TICK_WINDOW,
        close_row_s=clock.median("close") / n,
        join_row_s=clock.median("join") / n,
        graph_row_s=row_s,
        lead_pair_s=pair_s,
        refresh_row_s=refresh_row_s,
        refresh_pair_s=refresh_pair_s,
        codec_row_s=clock.median("codec") / n,
        score_row_s=clock.median("score") / n,
        checkpoint_row_s=clock.median("checkpoint") / n,
        tick_wire_bytes=tick_wire_bytes,
        window_row_bytes=sizes[n][0] / n,
        graph_row_bytes=sizes[n][1] / n,
        prediction_row_bytes=sizes[n][2] / n,
    )
    clocks[CHECK_INSTRUMENTS] = _Clock()
    _windows(CHECK_INSTRUMENTS, repeats // 2, clocks[CHECK_INSTRUMENTS])
    lines = [_against_fit(n, clock, costs) for n, clock in clocks.items()]
    kafka_tick_s, message_s = kafka_costs(costs)
    return replace(costs, kafka_tick_s=kafka_tick_s, message_s=message_s), lines


def _fit(counts: Float64Array, seen_s: Float64Array) -> tuple[float, float]:
    # a N + b N^2; relative errors count, so that the small universes weigh as much as the large.
    parts = np.stack([counts / seen_s, counts**2 / seen_s], axis=1)
    by_row, by_pair = np.linalg.lstsq(parts, np.ones(len(counts)), rcond=None)[0]
    return max(0.0, float(by_row)), max(0.0, float(by_pair))


def _against_fit(n: int, clock: _Clock, costs: Costs) -> str:
    plain_s = clock.median("graph")
    fit_s = n * costs.graph_row_s + n * n * costs.lead_pair_s
    return (
        f"{n:6,} instruments: snapshot {plain_s * 1e3:8.3f} ms, fit {fit_s * 1e3:8.3f};"
        f" refresh {(clock.median('refresh') - plain_s) * 1e3:8.3f} ms, fit {costs.refresh_s(n) * 1e3:8.3f}"
    )


def kafka_costs(costs: Costs) -> tuple[float, float]:
    """Return what a tick and what a message received cost in a worker beyond the pure code.

    Two runs tell the two apart: what their workers' CPU is above the pure code for the same ticks and windows.
    """
    amounts, beyond_s = [], []
    for run in RUNS:
        windows = run.ticks / RUN_WINDOW_TICKS
        bare = replace(costs, message_s=0.0)
        pure_s = run.ticks * costs.tick_s
        pure_s += windows * (RUN_INSTRUMENTS * costs.close_row_s + PARTITIONS * costs.sent_s)
        pure_s += windows * bare.sequence_s(RUN_INSTRUMENTS, PARTITIONS, window_s=10.0)
        amounts.append((run.ticks, run.ticks / run.message_ticks + windows * (PARTITIONS + 1)))
        beyond_s.append(run.worker_s - pure_s)
    tick_s, message_s = np.linalg.solve(np.array(amounts), np.array(beyond_s))
    return float(tick_s), float(message_s)


def _ticks(repeats: int, clock: _Clock) -> float:
    cycle = TickCycle(instruments=1000, partitions=1, ticks_per_window=TICK_WINDOW, size_ns=WINDOW_NS)
    aggregator = WindowAggregator("bench", 0, WINDOW_NS, 0, partitions=1)
    wire = 0
    for index in range(repeats):
        records = cycle.window(index, 0)
        messages = [
            _tick_message(TickRun("trades", records[start : start + MESSAGE_TICKS]), 0)
            for start in range(0, TICK_WINDOW, MESSAGE_TICKS)
        ]
        with clock("ticks"):
            for message in messages:
                aggregator.fold(decode_ticks(message.value, Envelope.from_headers(message.headers)))
        if not index:
            joined = b"".join(message.value for message in messages)
            batches = [joined[i : i + BATCH_BYTES] for i in range(0, len(joined), BATCH_BYTES)]
            wire = sum(len(zstandard.compress(batch, ZSTD_LEVEL)) for batch in batches)
    return wire / TICK_WINDOW


def _windows(instruments: int, repeats: int, total: _Clock) -> tuple[int, int, int]:
    # Every hop after the ticks, for windows with some five ticks of each instrument.
    config = load_config(
        bootstrap_servers="none:1", universe="bench", window_size_ns=WINDOW_NS, tick_partitions=PARTITIONS
    )
    cycle = TickCycle(
        instruments=instruments,
        partitions=PARTITIONS,
        ticks_per_window=5 * instruments,
        size_ns=WINDOW_NS,
    )
    directory = InstrumentDirectory.from_instruments(instruments_of(instruments), "bench")
    model = load_model(config, "student")
    aggregators = [
        WindowAggregator("bench", p, WINDOW_NS, 0, partitions=PARTITIONS) for p in range(PARTITIONS)
    ]
    barrier = WindowBarrier(PARTITIONS, 0, universe="bench", size_ns=WINDOW_NS)
    graph_state, scoring_state = GraphState.initial(config.graph), ScoringState.initial(model)
    clock, sizes = _Clock(), (0, 0, 0)
    for index in range(WARM_WINDOWS + repeats):
        if index == WARM_WINDOWS:
            clock.times.clear()
        for p, aggregator in enumerate(aggregators):
            aggregator.fold(TickRun("trades", cycle.window(index, p)))
        beat = heartbeat("trades", cycle.first_close_ns + index * WINDOW_NS)
        with clock("close"):
            messages = []
            for aggregator in aggregators:
                closed = aggregator.fold(beat).closed
                assert closed is not None  # noqa: S101  # the heartbeat is beyond the window
                messages.append(window_message(closed, run_id="r", mode="live", seq=index))
        with clock("join"):
            for message in messages:
                barrier.add(decode_windows(message.value, Envelope.from_headers(message.headers)))
            rows = barrier.take()
        refreshes = graph_state.seq % REFRESH_WINDOWS == 0
        with clock("refresh" if refreshes else "graph"):
            graphs, graph_state = build_graphs(rows, graph_state, directory, config.graph)
        assert graphs is not None  # noqa: S101  # every window is new
        with clock("codec"):
            message = graph_message(graphs, run_id="r", mode="live")
            graphs = decode_graphs(message.value, Envelope.from_headers(message.headers))
        with clock("score"):
            scores, scoring_state = score_run(model, graphs, scoring_state)
            assert scores is not None  # noqa: S101  # likewise
            predictions = prediction_message(scores, run_id="r", mode="live")
        with clock("checkpoint"):
            graph_state.to_bytes()
            scoring_state.to_bytes()
        sizes = (sum(len(m.value) for m in messages), len(message.value), len(predictions.value))
    for name, times in clock.times.items():
        total.times[name] += times
    return sizes


def _tick_message(run: TickRun, partition: int) -> Message:
    return tick_message(run, run_id="r", mode="live", seq=0, partition=partition)
