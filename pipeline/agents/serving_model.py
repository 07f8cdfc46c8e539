"""Which model of a role scores a universe's snapshots, and what was announced to follow it.

Decisions are part of the scoring state (`pipeline.swap`); the state behind a change is saved before the model changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from faust.types import EventT

from cs3g_model.errors import ModelError
from cs3g_model.protocol import StreamingModel
from pipeline.agents.models import Models, Published
from pipeline.agents.publishing import Sink, publish
from pipeline.config import PipelineConfig
from pipeline.errors import NonFiniteScoreError
from pipeline.scoring import ScoringState
from pipeline.serving import ModelRefusedError
from pipeline.swap import (
    is_decided,
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
from topics.errors import BrokerError
from topics.messages import control_message

logger = logging.getLogger(__name__)

Save = Callable[[ScoringState], Awaitable[None]]
"""Returns once the broker has a state."""


class ServingModel:
    """The model that scores; mutates self.

    Parameters
    ----------
    configured
        Serves until another is announced.
    models
        Where announced models come from.
    dead_letters_topic
        Gets what is refused.
    """

    def __init__(
        self,
        config: PipelineConfig,
        configured: StreamingModel,
        models: Models,
        dead_letters_topic: Sink,
    ) -> None:
        self._config = config
        self._configured = configured
        self._models = models
        self._dead_letters_topic = dead_letters_topic
        self._announced: list[Announced] | None = None
        self.model = configured

    @property
    def is_undisputed(self) -> bool:
        """Whether it is known that nothing was announced which is not decided."""
        return self._announced == []

    def forget(self) -> None:
        """Go back to the configured model; the scoring state's checkpoint names another where one serves."""
        self.model = self._configured

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

    async def first_state(self) -> ScoringState:
        """Return the configured model's state before the first prediction of a sequence that never began."""
        end = await self._models.predictions_end()
        return replace(ScoringState.initial(self._configured), since_offset=end)

    async def restore(self, state: ScoringState) -> ScoringState:
        """Let the model serve that a checkpoint's state belongs to; return the state to go on from."""
        published: Published = await self._models.published(state.seq, since_offset=state.since_offset)
        state = replace(state, published=max(state.published, published.ts_close))
        if state.model_id == self._configured.model_id:
            return state
        try:
            self.model = await self._models.load(state.model_id, "")
        except ModelRefusedError as error:
            if state.activation is not None:
                raise
            # Nobody asked for that model to stay: a release or a setting named another one since.
            logger.warning("%s; its checkpoint is passed over", error)
            if published.ts_close > state.ts_close:
                state = replace(state, ts_close=published.ts_close, seq=published.next_seq)
        return schedule_configured(state, self._configured.model_id)

    async def heed(self, state: ScoringState) -> ScoringState:
        """Decide on what was announced; a state that is another one has to be saved."""
        # A replay must not depend on how long a look takes; live, the timer looks.
        if self._announced is None or self._config.mode == "replay":
            await self._look()
        announced, self._announced = self._announced or [], []
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
        return state

    async def change(self, state: ScoringState, swap: Swap, event: EventT[Any], save: Save) -> ScoringState:
        """Let the next model take over at its boundary, or go on with this one if it cannot.

        Parameters
        ----------
        event
            Brought the first snapshot after the boundary.
        save
            Called with the next model's state before it serves.
        """
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
        await save(after)
        logger.warning(
            "model %s serves windows that end after %d, instead of %s; it was warmed on %d windows",
            swap.model_id,
            swap.boundary_ns,
            state.model_id,
            warmed.seen,
        )
        self.model = model
        self._models.forget_but({after.model_id, *(later.model_id for later in after.swaps)})
        return after

    async def _look(self) -> None:
        found = await self._models.announced()
        self._announced = [*(self._announced or ()), *found]

    async def _refuse(self, offset: int, error: Exception) -> None:
        logger.error("%s; model %s keeps serving", error, self.model.model_id)
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
