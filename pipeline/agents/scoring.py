"""Scoring agent: graph snapshots in, one role's predictions out, by the model that serves at each window.

Hidden state is checkpointed behind the predictions and before the input is acknowledged; snapshots that are
delivered again end at or before the checkpoint and are dropped. A change of models, its boundary and the new
model's warmed state are in a checkpoint that the broker has before the new model's first prediction is sent.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import faust
from faust.types import EventT

from pipeline.agents.checkpoints import Checkpoints
from pipeline.agents.delivery import SourceOffsets
from pipeline.agents.handover import Handover
from pipeline.agents.offload import beside
from pipeline.agents.publishing import Sink, dead_letter, publish
from pipeline.agents.serving_model import ServingModel
from pipeline.agents.stage import Stage
from pipeline.config import PipelineConfig
from pipeline.errors import GraphRunError
from pipeline.scoring import ScoringState, score_run
from pipeline.swap import (
    next_part,
)
from topics.cuts import cut_predictions, slice_predictions
from topics.envelope import Envelope, Message
from topics.errors import SchemaError
from topics.graphs_codec import decode_graphs
from topics.latest import latest_messages
from topics.messages import prediction_message
from topics.runs import GraphRun, PredictionRun

logger = logging.getLogger(__name__)


class ScoringStage(Stage):
    """Folds the models of a role over the snapshots of a universe.

    Parameters
    ----------
    serving
        The model that scores, and those that follow it.
    """

    def __init__(
        self,
        app: faust.App,
        config: PipelineConfig,
        offsets: SourceOffsets,
        *,
        serving: ServingModel,
        checkpoints: Checkpoints,
        predictions_topic: Sink,
        latest_topic: Sink | None,
        dead_letters_topic: Sink,
    ) -> None:
        super().__init__(app, offsets)
        self._config = config
        self._serving = serving
        self._checkpoints = checkpoints
        self._predictions_topic = predictions_topic
        self._latest_topic = latest_topic
        self._dead_letters_topic = dead_letters_topic
        self._state: ScoringState | None = None
        self._saved_ns = 0
        self._unacknowledged: list[EventT[Any]] = []
        self._unpublished_latest: tuple[PredictionRun, Envelope] | None = None
        self._read_offset = -1

    def forget(self) -> None:
        """Drop the state; the checkpoint has it."""
        self._state = None
        self._read_offset = -1
        self._serving.forget()
        self._unacknowledged.clear()
        self._unpublished_latest = None

    async def process(self, partition: int, events: list[EventT[Any]]) -> None:
        """Score snapshots; send the predictions, checkpoint, acknowledge."""
        state = self._state if self._state is not None else await self._restore(partition)
        save = partial(self._save, partition=partition)
        heeded = await self._serving.heed(state)
        if heeded is not state:
            await save(heeded)
        state = heeded
        messages: list[Message] = []
        refused: list[Message] = []
        for event in events:
            try:
                envelope = Envelope.from_headers(event.message.headers)
                rest: GraphRun | None = decode_graphs(event.message.value, envelope)
                while rest is not None:
                    part = next_part(rest, state)
                    if part.windows is not None:
                        mask = part.windows.mask
                        predictions, state = await beside(
                            len(mask), mask.size, score_run, self._serving.model, part.windows, state
                        )
                        messages += self._messages(predictions, envelope)
                    if part.swap is not None:
                        # Whatever ends before the boundary is with the broker before a state behind it is.
                        await publish(self._predictions_topic, messages)
                        messages.clear()
                        state = await self._serving.change(state, part.swap, event, save)
                    rest = part.rest
            except (SchemaError, GraphRunError) as error:
                refused.append(_undecodable(event, error))
        await publish(self._dead_letters_topic, refused)
        await publish(self._predictions_topic, messages)
        self._state = state
        self._unacknowledged += events
        self._read_offset = events[-1].message.offset
        await self.checkpoint_if_due()

    async def take_early(self, handover: Handover[GraphRun]) -> None:
        """Score a snapshot and send the predictions, unless another model may be the one to do it."""
        async with self._turn:
            state = self._state
            if state is None or self._read_offset < handover.first_offset:
                return  # the topic may bring what another worker has sent
            if state.ts_close < handover.after_ns or state.swaps or not self._serving.is_undisputed:
                return
            try:
                predictions, state = score_run(self._serving.model, handover.run, state)
            except GraphRunError:
                return  # the message becomes a dead letter when it comes
            await publish(self._predictions_topic, self._messages(predictions, handover.envelope))
            self._state = state

    async def checkpoint_if_due(self) -> None:
        """Write the state if it moved and the last checkpoint is old enough, and acknowledge what it covers."""
        state = self._state
        if state is None or not self._unacknowledged or not self._checkpoints.is_due:
            return
        if state.ts_close > self._saved_ns:
            await self._save(state, self._unacknowledged[0].message.partition)
        for event in self._unacknowledged:
            event.ack()
        self._unacknowledged.clear()

    async def publish_latest(self) -> None:
        """Send each instrument's newest prediction to the compacted topic, if there is a new one."""
        if self._latest_topic is None or self._unpublished_latest is None:
            return
        (run, envelope), self._unpublished_latest = self._unpublished_latest, None
        newest = slice_predictions(run, len(run.ts_close) - 1, len(run.ts_close))
        await publish(self._latest_topic, latest_messages(newest, run_id=envelope.run_id, mode=envelope.mode))

    async def _restore(self, partition: int) -> ScoringState:
        """Return the state to go on from; that of a sequence that begins is saved before its first prediction."""
        self._serving.forget()
        saved = await self._checkpoints.load(partition)
        if saved is None:
            state = await self._serving.first_state()
            await self._save(state, partition)
            return state
        state = ScoringState.from_bytes(saved)
        self._saved_ns = state.ts_close
        return await self._serving.restore(state)

    async def _save(self, state: ScoringState, partition: int) -> None:
        await self._checkpoints.save(partition, state.to_bytes())
        self._saved_ns = state.ts_close

    def _messages(self, predictions: PredictionRun | None, envelope: Envelope) -> list[Message]:
        if predictions is None:
            return []
        self._unpublished_latest = (predictions, envelope)
        return [
            prediction_message(piece, run_id=envelope.run_id, mode=envelope.mode)
            for piece in cut_predictions(predictions, self._config.max_run_bytes)
        ]


def _undecodable(event: EventT[Any], error: Exception) -> Message:
    return dead_letter(
        event, cause="undecodable", detail=str(error), payload=event.message.value or b"", n_records=0
    )
