"""Scoring agent: graph snapshots in, one model's predictions out.

Hidden state is checkpointed behind the predictions and before the input is acknowledged; snapshots that are
delivered again end at or before the checkpoint and are dropped.
"""

from __future__ import annotations

import logging
from typing import Any

import faust
from faust.types import EventT

from cs3g_model.protocol import StreamingModel
from pipeline.agents.checkpoints import Checkpoints
from pipeline.agents.delivery import SourceOffsets
from pipeline.agents.publishing import dead_letter, publish
from pipeline.agents.stage import Stage
from pipeline.config import PipelineConfig
from pipeline.errors import GraphRunError, StateMismatchError
from pipeline.scoring import ScoringState, score_run
from topics.cuts import cut_predictions, slice_predictions
from topics.envelope import Envelope, Message
from topics.errors import SchemaError
from topics.graphs_codec import decode_graphs
from topics.latest import latest_messages
from topics.messages import prediction_message
from topics.runs import PredictionRun

logger = logging.getLogger(__name__)


class ScoringStage(Stage):
    """Folds one model over the snapshots of a universe."""

    def __init__(
        self,
        app: faust.App,
        config: PipelineConfig,
        offsets: SourceOffsets,
        *,
        model: StreamingModel,
        checkpoints: Checkpoints,
        predictions_topic: faust.TopicT,
        latest_topic: faust.TopicT | None,
        dead_letters_topic: faust.TopicT,
    ) -> None:
        super().__init__(app, offsets)
        self._config = config
        self._model = model
        self._checkpoints = checkpoints
        self._predictions_topic = predictions_topic
        self._latest_topic = latest_topic
        self._dead_letters_topic = dead_letters_topic
        self._state: ScoringState | None = None
        self._saved_ns = 0
        self._unacknowledged: list[EventT[Any]] = []
        self._unpublished_latest: tuple[PredictionRun, Envelope] | None = None

    def forget(self) -> None:
        """Drop the state; the checkpoint has it."""
        self._state = None
        self._unacknowledged.clear()
        self._unpublished_latest = None

    async def process(self, partition: int, events: list[EventT[Any]]) -> None:
        """Score snapshots; send the predictions, checkpoint, acknowledge."""
        state = self._state if self._state is not None else self._restore()
        messages: list[Message] = []
        refused: list[Message] = []
        for event in events:
            try:
                envelope = Envelope.from_headers(event.message.headers)
                run = decode_graphs(event.message.value, envelope)
                predictions, state = score_run(self._model, run, state)
            except (SchemaError, GraphRunError) as error:
                refused.append(_undecodable(event, error))
                continue
            if predictions is None:
                continue
            messages += [
                prediction_message(piece, run_id=envelope.run_id, mode=envelope.mode)
                for piece in cut_predictions(predictions, self._config.max_run_bytes)
            ]
            self._unpublished_latest = (predictions, envelope)
        await publish(self._dead_letters_topic, refused)
        await publish(self._predictions_topic, messages)
        self._state = state
        self._unacknowledged += events
        await self.checkpoint_if_due()

    async def checkpoint_if_due(self) -> None:
        """Write the state if it moved and the last checkpoint is old enough, and acknowledge what it covers."""
        state = self._state
        if state is None or not self._unacknowledged or not self._checkpoints.is_due:
            return
        if state.ts_close > self._saved_ns:
            await self._checkpoints.save(self._unacknowledged[0].message.partition, state.to_bytes())
            self._saved_ns = state.ts_close
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

    def _restore(self) -> ScoringState:
        self._saved_ns = 0
        saved = self._checkpoints.load()
        if saved is None:
            return ScoringState.initial(self._model)
        try:
            state = ScoringState.from_bytes(saved, self._model)
        except StateMismatchError as error:
            logger.warning("%s; the new model warms up from its first window", error)
            return ScoringState.initial(self._model)
        self._saved_ns = state.ts_close
        return state


def _undecodable(event: EventT[Any], error: Exception) -> Message:
    return dead_letter(
        event, cause="undecodable", detail=str(error), payload=event.message.value or b"", n_records=0
    )
