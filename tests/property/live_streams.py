"""Ticks of a live market, what is made of them without Kafka, and what a broker was given."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from pipeline.config import PipelineConfig, load_config
from pipeline.offline import score_runs, snapshots_from_ticks, windows_from_ticks
from tests.property.list_broker import published
from tests.property.live_worker import DIRECTORY, INSTRUMENTS, MODEL, PARTITIONS, Broker
from tests.unit.pipeline.ticks import SECOND, SIZE, START, cut_at
from topics import tick_builders
from topics.control import DeadLetter, decode_control
from topics.envelope import Envelope
from topics.graphs_codec import decode_graphs
from topics.messages import tick_message
from topics.predictions_codec import decode_predictions
from topics.runs import GraphRun, PredictionRun, TickRun, WindowRun
from topics.ticks import heartbeat, join_records
from topics.windows_codec import decode_windows

LATENESS_NS = [0, 0, SIZE // 2, SIZE]


class Stream:
    """The ticks of each partition, as they come."""

    def __init__(self, runs: list[list[TickRun]], lateness_ns: int = 0) -> None:
        self.runs = runs
        self.lateness_ns = lateness_ns

    def __repr__(self) -> str:
        seconds = [
            [((run.records["ts_event"] - START) // SECOND).tolist() for run in runs] for runs in self.runs
        ]
        return f"Stream(seconds={seconds}, lateness_s={self.lateness_ns // SECOND})"

    @property
    def config(self) -> PipelineConfig:
        return load_config(
            mode="live",
            universe="u",
            run_id="t",
            window_size_ns=SIZE,
            allowed_lateness_ns=self.lateness_ns,
            tick_partitions=PARTITIONS,
            neighbors=2,
            correlation_windows=4,
            correlation_stride=3,
            lead_neighbors=2,
            lead_windows=5,
            lead_stride=2,
            max_run_bytes=1024,
        )

    def broker(self) -> Broker:
        return Broker(
            [
                [tick_message(run, run_id="t", mode="live", seq=n, partition=p) for n, run in enumerate(runs)]
                for p, runs in enumerate(self.runs)
            ]
        )

    def ticks(self) -> Iterator[tuple[int, TickRun]]:
        return ((p, run) for p, runs in enumerate(self.runs) for run in runs)

    def windows(self) -> list[WindowRun]:
        return list(
            windows_from_ticks(
                self.ticks(),
                universe="u",
                size_ns=SIZE,
                partitions=PARTITIONS,
                allowed_lateness_ns=self.lateness_ns,
            )
        )

    def snapshots(self) -> list[GraphRun]:
        return list(
            snapshots_from_ticks(
                self.ticks(),
                DIRECTORY,
                self.config.graph,
                partitions=PARTITIONS,
                allowed_lateness_ns=self.lateness_ns,
            )
        )


@st.composite
def streams(draw: Any) -> Stream:
    """Trades that come about in order of time, with heartbeats or without; the last one closes all windows."""
    n_windows = draw(st.integers(8, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    lateness_ns = draw(st.sampled_from(LATENESS_NS))
    disorder_s = draw(st.sampled_from([0, 0, 5, 20]))
    has_beats = draw(st.booleans())
    n = draw(st.integers(2, 4)) * n_windows
    seconds = rng.integers(0, n_windows * SIZE // SECOND, n)
    seconds = seconds[np.argsort(seconds + rng.integers(0, disorder_s + 1, n), kind="stable")]
    instrument = rng.integers(1, INSTRUMENTS + 1, n)
    run = tick_builders.trades(
        instrument_id=instrument,
        ts_event=START + seconds * SECOND,
        price=rng.integers(95, 106, n) * SECOND,
        size=rng.integers(1, 9, n),
        side=rng.choice([b"A", b"B", b"N"], n),
    )
    runs = []
    for partition in range(PARTITIONS):
        own = TickRun(run.schema, run.records[instrument % PARTITIONS == partition])
        if draw(st.booleans()):
            places = draw(st.lists(st.integers(1, n), max_size=n))
        else:  # live markets: a window in a message
            places = (np.flatnonzero(np.diff(own.records["ts_event"] // SIZE)) + 1).tolist()
        messages = cut_at(own, places)
        if has_beats:
            messages = list(_with_beats(messages))
        end_ns = START + (n_windows + 1) * SIZE + lateness_ns
        runs.append([*messages, heartbeat("trades", end_ns)])
    return Stream(runs, lateness_ns)


def _with_beats(messages: list[TickRun]) -> Iterator[TickRun]:
    for message in messages:
        yield message
        yield heartbeat("trades", int(message.records["ts_event"].max()))


def regular_stream(n_windows: int) -> Stream:
    """A message in each window and partition, with a tick of every instrument of the partition."""
    rng = np.random.default_rng(7)
    runs: list[list[TickRun]] = [[] for _ in range(PARTITIONS)]
    for window, partition in itertools.product(range(n_windows), range(PARTITIONS)):
        ids = np.array([i for i in range(1, INSTRUMENTS + 1) if i % PARTITIONS == partition])
        runs[partition].append(
            tick_builders.trades(
                instrument_id=ids,
                ts_event=START + window * SIZE + np.arange(len(ids)) * SECOND,
                price=rng.integers(95, 106, len(ids)) * SECOND,
                size=rng.integers(1, 9, len(ids)),
            )
        )
    for partition in range(PARTITIONS):
        runs[partition].append(heartbeat("trades", START + n_windows * SIZE))
    return Stream(runs)


def predictions_of(broker: Broker) -> list[PredictionRun]:
    return [decode_predictions(m.value, Envelope.from_headers(m.headers)) for m in broker.predictions]


def graphs_of(broker: Broker) -> list[GraphRun]:
    return [decode_graphs(m.value, Envelope.from_headers(m.headers)) for m in broker.graphs]


def windows_of(broker: Broker) -> list[WindowRun]:
    return [decode_windows(m.value, Envelope.from_headers(m.headers)) for m in broker.windows]


def shown(runs: list[GraphRun]) -> dict[int, set[tuple[Any, ...]]]:
    """Every snapshot of a window, by its end; instruments that are absent are left out."""
    found: dict[int, set[tuple[Any, ...]]] = {}
    for run in runs:
        ids = np.append(run.instrument_ids, np.uint32(0))  # neighbor -1 is nobody
        for t, end in enumerate(run.ts_close.tolist()):
            present = run.mask[t]
            content = (
                run.seq + t,
                run.instrument_ids[present].tobytes(),
                run.features[t, present].tobytes(),
                run.close[t, present].tobytes(),
                ids[run.neighbors[t, present]].tobytes(),
                run.neighbor_weights[t, present].tobytes(),
            )
            found.setdefault(end, set()).add(content)
    return found


def closed(runs: list[WindowRun]) -> list[bytes]:
    """The windows of each partition, without what a worker that started again has emitted again."""
    frontiers = [0] * PARTITIONS
    parts: list[list[Any]] = [[] for _ in range(PARTITIONS)]
    for run in runs:
        parts[run.partition].append(run.rows[run.rows["ts_close"] > frontiers[run.partition]])
        frontiers[run.partition] = max(frontiers[run.partition], run.frontier_ns)
    return [join_records(rows).tobytes() if rows else b"" for rows in parts]


def require_what_offline_gives(broker: Broker, stream: Stream) -> None:
    snapshots = stream.snapshots()
    assert closed(windows_of(broker)) == closed(stream.windows())
    assert shown(graphs_of(broker)) == shown(snapshots)
    assert published(predictions_of(broker)) == published(list(score_runs(MODEL, snapshots)))
    letters = [decode_control(m.value, Envelope.from_headers(m.headers)) for m in broker.dead]
    assert {letter.cause for letter in letters if isinstance(letter, DeadLetter)} <= {"late"}
