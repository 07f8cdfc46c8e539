"""Graphs agent: the tick partitions' windows in, graph snapshots out, in order of ts_close.

A message is acknowledged once every partition has passed its frontier and the snapshots up to there and the
checkpoint behind them are with the broker; what is delivered again ends at or before the checkpoint and is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

import faust
from faust.types import EventT

from pipeline.agents.checkpoints import Checkpoints
from pipeline.agents.delivery import SourceOffsets
from pipeline.agents.directory import Directory
from pipeline.agents.handover import Handover, Successor
from pipeline.agents.offload import beside
from pipeline.agents.publishing import Sink, dead_letter, publish
from pipeline.agents.stage import Stage
from pipeline.barrier import WindowBarrier
from pipeline.config import PipelineConfig
from pipeline.errors import WindowRunError
from pipeline.graph_config import InstrumentDirectory
from pipeline.graph_preparation import Preparation, prepare
from pipeline.graph_state import GraphState
from pipeline.graphs import iter_graphs
from topics.cuts import cut_graphs
from topics.envelope import Envelope, Message
from topics.errors import SchemaError
from topics.messages import graph_message
from topics.runs import GraphRun, WindowRun
from topics.types import NANOS_PER_SECOND
from topics.windows_codec import decode_windows

PREPARE_BEFORE_S: Final = 0.01
"""Before the next window is expected: late, so that what was made ready is still in the cores' caches."""

PREPARE_AFTER_S: Final = 0.02
"""Behind a window that was handed over; by then all that follows from it is with the broker."""

PIECE_CELLS: Final = 2**15
"""Windows x instruments after which a piece is sent: the scoring stage begins with it beside the next one."""


class _Universe:
    """A universe in progress: its checkpointed state, the barrier, and messages that wait behind it."""

    def __init__(self, config: PipelineConfig, partition: int, state: GraphState) -> None:
        self.partition = partition
        self.state = state
        self.saved_ns = state.frontier_ns
        self.barrier = WindowBarrier(
            config.tick_partitions,
            state.frontier_ns,
            universe=config.universe,
            size_ns=config.window_size_ns,
        )
        self.unacknowledged: deque[tuple[int, EventT[Any]]] = deque()
        self.directory: InstrumentDirectory | None = None
        self.prepared: Preparation | None = None

    @property
    def can_acknowledge(self) -> bool:
        return bool(self.unacknowledged) and self.unacknowledged[0][0] <= self.barrier.complete_ns

    def acknowledge(self) -> None:
        # Oldest first and never past one that waits: Faust would commit beyond the gap.
        while self.can_acknowledge:
            self.unacknowledged.popleft()[1].ack()


class GraphsStage(Stage):
    """Joins closed windows of all partitions and builds snapshots."""

    def __init__(
        self,
        app: faust.App,
        config: PipelineConfig,
        offsets: SourceOffsets,
        *,
        checkpoints: Checkpoints,
        directory: Directory,
        graphs_topic: Sink,
        dead_letters_topic: Sink,
        successor: Successor[GraphRun] | None = None,
    ) -> None:
        super().__init__(app, offsets)
        self._config = config
        self._checkpoints = checkpoints
        self._directory = directory
        self._graphs_topic = graphs_topic
        self._dead_letters_topic = dead_letters_topic
        self._successor = successor
        self._universe: _Universe | None = None
        self._read_offset = -1
        self._first_offset: int | None = None
        self._preparing: asyncio.TimerHandle | None = None

    def forget(self) -> None:
        """Drop the state; the checkpoint has it."""
        if self._preparing is not None:
            self._preparing.cancel()
            self._preparing = None
        self._universe = None
        self._read_offset = -1
        self._first_offset = None

    async def process(self, partition: int, events: list[EventT[Any]]) -> None:
        """Take windows; send the snapshots that became complete, checkpoint, acknowledge."""
        universe = self._universe
        if universe is None:
            universe = self._universe = await self._restore(partition)
        refused: list[Message] = []
        envelope: Envelope | None = None
        for event in events:
            try:
                envelope = Envelope.from_headers(event.message.headers)
                run = decode_windows(event.message.value, envelope)
                universe.barrier.add(run)
            except (SchemaError, WindowRunError) as error:
                refused.append(_undecodable(event, error))
                universe.unacknowledged.append((0, event))
            else:
                universe.unacknowledged.append((run.frontier_ns, event))
        await publish(self._dead_letters_topic, refused)
        if envelope is not None:
            await self._build(universe, envelope)
        self._read_offset = events[-1].message.offset
        await self.checkpoint_if_due()

    async def take_early(self, handover: Handover[WindowRun]) -> None:
        """Take a partition's next windows; send the snapshots that became complete."""
        run = handover.run
        async with self._turn:
            universe = self._universe
            if universe is None or self._read_offset < handover.first_offset:
                return  # the topic may bring what another worker has sent
            if universe.barrier.frontier_ns(run.partition) < handover.after_ns:
                return  # the topic brings earlier windows first
            universe.barrier.add(run)
            if await self._build(universe, handover.envelope) and self._preparing is None:
                size_s = self._config.window_size_ns / NANOS_PER_SECOND
                wait_s = max(size_s - PREPARE_BEFORE_S, PREPARE_AFTER_S)
                self._preparing = asyncio.get_running_loop().call_later(wait_s, self.prepare_next)

    def prepare_next(self) -> None:
        """Do what is known of the next snapshot before its windows come; called by a timer."""
        self._preparing = None
        universe = self._universe
        if universe is not None and universe.directory is not None:
            universe.prepared = prepare(universe.state, universe.directory, self._config.graph)

    async def _build(self, universe: _Universe, envelope: Envelope) -> bool:
        """Send the snapshots that became complete; return whether there were any."""
        rows = universe.barrier.take()
        if not len(rows):
            return False
        directory = await self._directory.describe(universe.state.instruments_with(rows["instrument_id"]))
        universe.directory = directory
        pieces = iter_graphs(
            rows, universe.state, directory, self._config.graph, universe.prepared, max_cells=PIECE_CELLS
        )
        n_windows = int(rows["ts_close"][-1] - rows["ts_close"][0]) // self._config.window_size_ns + 1
        while (piece := await beside(n_windows, len(rows), next, pieces, None)) is not None:
            graphs, state = piece
            if self._successor is not None and self._first_offset is not None and n_windows == 1:
                await self._successor.take_early(
                    Handover(graphs, universe.state.ts_close, self._first_offset, envelope)
                )
            await self._publish_graphs(graphs, envelope)
            universe.state = state
        return True

    async def checkpoint_if_due(self) -> None:
        """Write the state if it moved and the last checkpoint is old enough, and acknowledge what it covers."""
        universe = self._universe
        if universe is None or not universe.can_acknowledge or not self._checkpoints.is_due:
            return
        # With the frontier, windows that passed empty stay empty whatever is emitted again after a restart.
        universe.state = universe.state.passed(universe.barrier.complete_ns)
        if universe.state.frontier_ns > universe.saved_ns:
            await self._checkpoints.save(universe.partition, universe.state.to_bytes())
            universe.saved_ns = universe.state.frontier_ns
        universe.acknowledge()

    async def _restore(self, partition: int) -> _Universe:
        saved = await self._checkpoints.load(partition)
        graph = self._config.graph
        state = GraphState.initial(graph) if saved is None else GraphState.from_bytes(saved, graph)
        return _Universe(self._config, partition, state)

    async def _publish_graphs(self, run: GraphRun, envelope: Envelope) -> None:
        offsets = await publish(
            self._graphs_topic,
            [
                graph_message(piece, run_id=envelope.run_id, mode=envelope.mode)
                for piece in cut_graphs(run, self._config.max_run_bytes)
            ],
        )
        if self._first_offset is None:
            self._first_offset = offsets[0]


def _undecodable(event: EventT[Any], error: Exception) -> Message:
    return dead_letter(
        event, cause="undecodable", detail=str(error), payload=event.message.value or b"", n_records=0
    )
