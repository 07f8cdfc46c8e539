"""Graphs agent: the tick partitions' windows in, graph snapshots out, in order of ts_close.

A message is acknowledged once every partition has passed its frontier and the snapshots up to there and the
checkpoint behind them are with the broker; what is delivered again ends at or before the checkpoint and is dropped.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import faust
import numpy as np
from faust.types import EventT

from pipeline.agents.checkpoints import Checkpoints
from pipeline.agents.directory import Directory
from pipeline.agents.publishing import dead_letter, publish
from pipeline.agents.stage import Stage
from pipeline.barrier import WindowBarrier
from pipeline.config import PipelineConfig
from pipeline.errors import WindowRunError
from pipeline.graph_state import GraphState
from pipeline.graphs import iter_graphs
from topics.cuts import cut_graphs
from topics.envelope import Envelope, Message
from topics.errors import SchemaError
from topics.messages import graph_message
from topics.runs import GraphRun
from topics.windows_codec import decode_windows


class _Universe:
    """A universe in progress: its checkpointed state, the barrier, and messages that wait behind it."""

    def __init__(self, config: PipelineConfig, state: GraphState) -> None:
        self.state = state
        self.barrier = WindowBarrier(
            config.tick_partitions,
            state.ts_close,
            universe=config.universe,
            size_ns=config.window_size_ns,
        )
        self.unacknowledged: deque[tuple[int, EventT[Any]]] = deque()

    def acknowledge(self) -> None:
        # Oldest first and never past one that waits: Faust would commit beyond the gap.
        while self.unacknowledged and self.unacknowledged[0][0] <= self.barrier.complete_ns:
            self.unacknowledged.popleft()[1].ack()


class GraphsStage(Stage):
    """Joins closed windows of all partitions and builds snapshots."""

    def __init__(
        self,
        app: faust.App,
        config: PipelineConfig,
        *,
        checkpoints: Checkpoints,
        directory: Directory,
        graphs_topic: faust.TopicT[Any],
        dead_letters_topic: faust.TopicT[Any],
    ) -> None:
        super().__init__(app)
        self._config = config
        self._key = config.universe.encode()
        self._checkpoints = checkpoints
        self._directory = directory
        self._graphs_topic = graphs_topic
        self._dead_letters_topic = dead_letters_topic
        self._universe: _Universe | None = None

    def forget(self) -> None:
        """Drop the state; the checkpoint has it."""
        self._universe = None

    async def process(self, partition: int, events: list[EventT[Any]]) -> None:
        """Take windows; send the snapshots that became complete, checkpoint, acknowledge."""
        universe = self._universe
        if universe is None:
            universe = self._universe = self._restore()
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
        rows = universe.barrier.take()
        if len(rows) and envelope is not None:
            directory = await self._directory.describe(np.unique(rows["instrument_id"]))
            for graphs, state in iter_graphs(rows, universe.state, directory, self._config.graph):
                await self._publish_graphs(graphs, envelope)
                universe.state = state
            await self._checkpoints.save(partition, self._key, universe.state.to_bytes())
        universe.acknowledge()

    def _restore(self) -> _Universe:
        saved = self._checkpoints.load(self._key)
        graph = self._config.graph
        state = GraphState.initial(graph) if saved is None else GraphState.from_bytes(saved, graph)
        return _Universe(self._config, state)

    async def _publish_graphs(self, run: GraphRun, envelope: Envelope) -> None:
        await publish(
            self._graphs_topic,
            [
                graph_message(piece, run_id=envelope.run_id, mode=envelope.mode)
                for piece in cut_graphs(run, self._config.max_run_bytes)
            ],
        )


def _undecodable(event: EventT[Any], error: Exception) -> Message:
    return dead_letter(
        event, cause="undecodable", detail=str(error), payload=event.message.value or b"", n_records=0
    )
