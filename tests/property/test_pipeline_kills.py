"""All the agents together, each killed anywhere: the predictions are those of the undisturbed pipeline.

The agents are generators that yield wherever a process may die. What they sent and committed stays in the
broker; a killed agent starts again from its checkpoint and its last commit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.acks import AckLedger
from pipeline.barrier import WindowBarrier
from pipeline.graph_config import InstrumentDirectory
from pipeline.graph_state import GraphState
from pipeline.graphs import iter_graphs
from pipeline.offline import TickCounts, partition_ticks, score_runs, snapshots_from_ticks
from pipeline.scoring import ScoringState, score_run
from pipeline.windows import WindowAggregator
from tests.unit.pipeline.edges import CONFIG, EDGES
from tests.unit.pipeline.models import ExponentialMean
from tests.unit.pipeline.ticks import SECOND, SIZE, cut_at, tick_runs
from topics.runs import GraphRun, PredictionRun, TickRun, WindowRun

PARTITIONS = 2
DIRECTORY = InstrumentDirectory({i: f"S{i}" for i in range(1, 10)}, {1: 0}, EDGES)
MODEL = ExponentialMean()


@dataclass
class Broker:
    """Topics, commits and checkpoints."""

    ticks: list[list[TickRun]]
    lateness_ns: int
    end_ns: int
    tick_commits: list[int] = field(default_factory=lambda: [0] * PARTITIONS)
    dead: set[tuple[int, int, int]] = field(default_factory=set)
    windows: list[WindowRun] = field(default_factory=list)
    windows_commit: int = 0
    graph_checkpoint: bytes = b""
    graphs: list[GraphRun] = field(default_factory=list)
    graphs_commit: int = 0
    scoring_checkpoint: bytes = b""
    predictions: list[PredictionRun] = field(default_factory=list)


def windows_agent(broker: Broker, p: int) -> Iterator[bool]:
    windows = WindowAggregator("u", p, SIZE, broker.lateness_ns, partitions=PARTITIONS)
    ledger = AckLedger()
    for offset in range(broker.tick_commits[p], len(broker.ticks[p])):
        result = windows.fold(broker.ticks[p][offset])
        ledger.add(offset, result.last_close_touched_ns)
        yield False
        for position in (*result.late_positions, *result.invalid_positions):
            broker.dead.add((p, offset, int(position)))
        yield False
        if result.closed is not None:
            broker.windows.append(result.closed)
            yield False
        for ready in ledger.ready(windows.frontier_ns):
            broker.tick_commits[p] = ready + 1
    closed = windows.finish(broker.end_ns)
    if closed is not None:
        broker.windows.append(closed)
        yield False
    for ready in ledger.ready(windows.frontier_ns):
        broker.tick_commits[p] = ready + 1
    while True:
        yield True


def graphs_agent(broker: Broker) -> Iterator[bool]:
    state = GraphState.initial(CONFIG)
    if broker.graph_checkpoint:
        state = GraphState.from_bytes(broker.graph_checkpoint, CONFIG)
    barrier = WindowBarrier(PARTITIONS, state.frontier_ns, universe="u", size_ns=SIZE)
    waiting: deque[tuple[int, int]] = deque()
    position = broker.windows_commit
    while True:
        while position == len(broker.windows):
            yield True
        run = broker.windows[position]
        barrier.add(run)
        waiting.append((run.frontier_ns, position))
        position += 1
        for graphs, after in iter_graphs(barrier.take(), state, DIRECTORY, CONFIG):
            broker.graphs.append(graphs)
            state = after
            yield False
        state = state.passed(barrier.complete_ns)
        broker.graph_checkpoint = state.to_bytes()
        yield False
        while waiting and waiting[0][0] <= barrier.complete_ns:
            broker.windows_commit = waiting.popleft()[1] + 1


def scoring_agent(broker: Broker) -> Iterator[bool]:
    state = ScoringState.initial(MODEL)
    if broker.scoring_checkpoint:
        state = ScoringState.from_bytes(broker.scoring_checkpoint, MODEL)
    for position in range(broker.graphs_commit, 10**9):
        while position >= len(broker.graphs):
            yield True
        predictions, state = score_run(MODEL, broker.graphs[position], state)
        if predictions is not None:
            broker.predictions.append(predictions)
            yield False
        broker.scoring_checkpoint = state.to_bytes()
        yield False
        broker.graphs_commit = position + 1


def prediction_rows(runs: list[PredictionRun]) -> list[tuple[Any, ...]]:
    return [
        (int(run.ts_close[t]), int(run.instrument_ids[n]), run.seq + t, run.scores[t, n].tobytes(),
         int(run.ranks[t, n]), bool(run.warmup[t]))
        for run in runs
        for t, n in zip(*np.nonzero(run.mask), strict=True)
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.data(),
    tick_runs(max_ticks=30, instruments=4),
    st.integers(0, 30).map(lambda s: s * SECOND),
    st.lists(st.tuples(st.integers(0, PARTITIONS + 1), st.integers(1, 6), st.booleans()), max_size=25),
)
def test_kills_anywhere_change_no_prediction(
    data: st.DataObject, run: TickRun, lateness_ns: int, schedule: list[tuple[int, int, bool]]
) -> None:
    parts = dict(partition_ticks(run, PARTITIONS))
    cuts = data.draw(st.lists(st.integers(0, 30), max_size=10))
    ticks = [cut_at(parts[p], cuts) if p in parts else [] for p in range(PARTITIONS)]
    times = run.records["ts_event"]
    broker = Broker(ticks, lateness_ns, int(times[times < 2**63].max(initial=0)))
    starts: list[Callable[[], Iterator[bool]]] = [
        lambda: windows_agent(broker, 0),
        lambda: windows_agent(broker, 1),
        lambda: graphs_agent(broker),
        lambda: scoring_agent(broker),
    ]
    agents = [start() for start in starts]
    for who, steps, kill in schedule:
        for _ in range(steps):
            next(agents[who])
        if kill:
            agents[who] = starts[who]()
    for agent in agents:
        while not next(agent):
            pass

    counts = TickCounts()
    snapshots = snapshots_from_ticks(
        ((p, message) for p in range(PARTITIONS) for message in ticks[p]),
        DIRECTORY, CONFIG, partitions=PARTITIONS, allowed_lateness_ns=lateness_ns, counts=counts,
    )  # fmt: skip
    expected = prediction_rows(list(score_runs(MODEL, snapshots)))
    assert sorted(set(prediction_rows(broker.predictions))) == sorted(expected)
    assert len(broker.dead) == counts.n_late + counts.n_invalid
    assert broker.tick_commits == [len(messages) for messages in ticks]
