"""Scoring agent: graph snapshots in, one role's predictions out, by the model that serves at each window.

Hidden state is checkpointed behind the predictions and before the input is acknowledged; snapshots that are
delivered again end at or before the checkpoint and are dropped. A change of models, its boundary and the new
model's warmed state are in a checkpoint that the broker has before the new model's first prediction is sent.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import faust
from faust.types import EventT

from cs3g_model.errors import ModelError
from cs3g_model.protocol import StreamingModel
from pipeline.agents.checkpoints import Checkpoints
from pipeline.agents.delivery import SourceOffsets
from pipeline.agents.handover import Handover
from pipeline.agents.models import Models
from pipeline.agents.offload import beside
from pipeline.agents.publishing import dead_letter, publish
from pipeline.agents.stage import Stage
from pipeline.config import PipelineConfig
from pipeline.errors import GraphRunError, NonFiniteScoreError
from pipeline.scoring import ScoringState, score_run
from pipeline.serving import ModelRefusedError
from pipeline.swap import (
    is_decided,
    next_part,
    refuse,
    schedule,
    schedule_configured,
    take_over,
    warm,
    without_next_swap,
)
from pipeline.swaps import Swap
from topics.announcements import Announced
from topics.control import DeadLetter
from topics.cuts import cut_predictions, slice_predictions
from topics.envelope import Envelope, Message
from topics.errors import BrokerError, SchemaError
from topics.graphs_codec import decode_graphs
from topics.latest import latest_messages
from topics.messages import control_message, prediction_message
from topics.runs import GraphRun, PredictionRun

logger = logging.getLogger(__name__)


class ScoringStage(Stage):
    """Folds the models of a role over the snapshots of a universe.

    Parameters
    ----------
    model
        Serves until another is announced.
    models
        Where announced models come from.
    """

    def __init__(
        self,
        app: faust.App,
        config: PipelineConfig,
        offsets: SourceOffsets,
        *,
        model: StreamingModel,
        models: Models,
        checkpoints: Checkpoints,
        predictions_topic: faust.TopicT,
        latest_topic: faust.TopicT | None,
        dead_letters_topic: faust.TopicT,
    ) -> None:
        super().__init__(app, offsets)
        self._config = config
        self._configured = self._model = model
        self._models = models
        self._checkpoints = checkpoints
        self._predictions_topic = predictions_topic
        self._latest_topic = latest_topic
        self._dead_letters_topic = dead_letters_topic
        self._state: ScoringState | None = None
        self._saved_ns = 0
        self._announced: list[Announced] | None = None
        self._unacknowledged: list[EventT[Any]] = []
        self._unpublished_latest: tuple[PredictionRun, Envelope] | None = None
        self._read_offset = -1

    def forget(self) -> None:
        """Drop the state; the checkpoint has it."""
        self._state = None
        self._read_offset = -1
        self._model = self._configured
        self._unacknowledged.clear()
        self._unpublished_latest = None

    async def watch(self) -> None:
        """Look for announced models beside the work, and load them; called by a timer."""
        try:
            await self._look()
            for announced in self._announced or ():
                await self._models.load(announced.model.model_id, announced.model.sha256)
        except BrokerError as error:
            logger.warning("the models topic cannot be read: %s", error)
        except ModelRefusedError as error:
            logger.debug("%s", error)  # said once, when it is decided

    async def process(self, partition: int, events: list[EventT[Any]]) -> None:
        """Score snapshots; send the predictions, checkpoint, acknowledge."""
        state = self._state if self._state is not None else await self._restore(partition)
        state = await self._heed(state, partition)
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
                            len(mask), mask.size, score_run, self._model, part.windows, state
                        )
                        messages += self._messages(predictions, envelope)
                    if part.swap is not None:
                        # Whatever ends before the boundary is with the broker before a state behind it is.
                        await publish(self._predictions_topic, messages)
                        messages.clear()
                        state = await self._change(state, part.swap, event)
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
            if state.ts_close < handover.after_ns or state.swaps or self._announced != []:
                return
            try:
                predictions, state = score_run(self._model, handover.run, state)
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
        """Return the state to go on from, and load the model that it belongs to."""
        self._saved_ns = 0
        self._model = self._configured
        saved = await self._checkpoints.load(partition)
        if saved is None:
            # Before the first prediction, so that a sequence without a checkpoint is one that never began.
            end = await self._models.predictions_end()
            state = replace(ScoringState.initial(self._configured), since_offset=end)
            await self._save(state, partition)
            return state
        state = ScoringState.from_bytes(saved)
        self._saved_ns = state.ts_close
        published = await self._models.published(state.seq, since_offset=state.since_offset)
        state = replace(state, published=max(state.published, published.ts_close))
        if state.model_id == self._configured.model_id:
            return state
        try:
            self._model = await self._models.load(state.model_id, "")
        except ModelRefusedError as error:
            if state.activation is not None:
                raise
            # Nobody asked for that model to stay: a release or a setting named another one since.
            logger.warning("%s; its checkpoint is passed over", error)
            if published.ts_close > state.ts_close:
                state = replace(state, ts_close=published.ts_close, seq=published.next_seq)
        return schedule_configured(state, self._configured.model_id)

    async def _look(self) -> None:
        found = await self._models.announced()
        self._announced = [*(self._announced or ()), *found]

    async def _heed(self, state: ScoringState, partition: int) -> ScoringState:
        """Decide on what was announced, and keep the decision."""
        # A replay must not depend on how long a look takes; live, the timer looks.
        if self._announced is None or self._config.mode == "replay":
            await self._look()
        before, announced, self._announced = state, self._announced or [], []
        for found in announced:
            if is_decided(state, found.model):
                continue
            try:
                await self._models.load(found.model.model_id, found.model.sha256)
            except ModelRefusedError as error:
                await self._refuse(found.offset, error)
                state = refuse(state, found.model)
            else:
                state = schedule(state, found.model, offset=found.offset)
        if state is not before:
            await self._save(state, partition)
        return state

    async def _change(self, state: ScoringState, swap: Swap, event: EventT[Any]) -> ScoringState:
        """Let the next model take over at its boundary, or go on with this one if it cannot."""
        message, n_windows = event.message, self._config.warm_windows
        runs = await self._models.recent_graphs(
            swap.boundary_ns, n_windows, partition=message.partition, before=message.offset + 1
        )
        model = self._configured
        try:
            if swap.activation is not None:
                model = await self._models.load(swap.model_id, swap.sha256)
            # A teacher takes seconds, and heartbeats must go on.
            warmed = await asyncio.to_thread(
                warm, model, runs, boundary_ns=swap.boundary_ns, n_windows=n_windows
            )
        except (ModelRefusedError, ModelError, NonFiniteScoreError) as error:
            if swap.activation is None:
                raise
            await self._refuse(swap.offset, error)
            return without_next_swap(state)
        after = take_over(state, warmed)
        await self._save(after, message.partition)
        logger.warning(
            "model %s serves windows that end after %d, instead of %s; it was warmed on %d windows",
            swap.model_id,
            swap.boundary_ns,
            state.model_id,
            warmed.seen,
        )
        self._model = model
        self._models.forget_but({after.model_id, *(later.model_id for later in after.swaps)})
        return after

    async def _refuse(self, offset: int, error: Exception) -> None:
        logger.error("%s; model %s keeps serving", error, self._model.model_id)
        record = DeadLetter(
            cause="model_refused",
            source_topic=self._models.topic,
            partition=0,
            offset=offset,
            n_records=0,
            detail=f"{error}"[:1000],
        )
        config = self._config
        message = control_message(
            record, run_id=config.run_id, mode=config.mode, key=self._models.topic.encode()
        )
        await publish(self._dead_letters_topic, [message])

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
