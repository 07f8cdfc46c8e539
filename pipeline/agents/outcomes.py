"""Outcomes agent: predictions and snapshots in; outcomes, trigger decisions and job requests out.

What is settled is checkpointed together with the messages that follow from it, before any of them is sent, and only
then is the input acknowledged. So after a crash the very same bytes are sent once more, even if the worker comes back
with another policy or release, and nothing is decided twice.

Jobs are sent before decisions, decisions before outcomes: who has read a window's outcome finds its job on the topic.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, Literal

import faust
from faust.types import EventT

from pipeline.agents.checkpoints import Checkpoints
from pipeline.agents.delivery import SourceOffsets
from pipeline.agents.publishing import Sink, dead_letter, publish
from pipeline.agents.stage import Stage
from pipeline.config import PipelineConfig
from pipeline.errors import GraphRunError
from pipeline.outcomes import SettledWindow, settle
from pipeline.outcomes_checkpoint import Outbox, Settled
from pipeline.outcomes_config import OutcomesConfig
from pipeline.outcomes_join import OutcomeJoin
from pipeline.outcomes_state import OutcomesState
from pipeline.trigger import decide
from pipeline.trigger_config import TriggerPolicy
from pipeline.trigger_state import TriggerState
from topics.envelope import Envelope, Message
from topics.errors import SchemaError
from topics.graphs_codec import decode_graphs
from topics.messages import control_message
from topics.predictions_codec import decode_predictions

Source = Literal["graphs", "predictions"]

logger = logging.getLogger(__name__)


class _Universe:
    """A universe in progress: what is settled, what waits, and which messages wait with it."""

    def __init__(self, settled: Settled, join: OutcomeJoin) -> None:
        self.settled = settled
        self.join = join
        self.unacknowledged: dict[Source, deque[tuple[int, EventT[Any]]]] = {
            "graphs": deque(),
            "predictions": deque(),
        }

    def acknowledge(self) -> None:
        # Oldest first and never past one that waits: Faust would commit beyond the gap.
        for waiting in self.unacknowledged.values():
            while waiting and waiting[0][0] <= self.settled.outcomes.ts_close:
                waiting.popleft()[1].ack()


class OutcomesHub:
    """Where the two sources meet. Mutates self; one batch of either source at a time.

    Parameters
    ----------
    config, outcomes, policy
        Settings of the pipeline, of this stage, and of the trigger.
    """

    def __init__(
        self,
        config: PipelineConfig,
        outcomes: OutcomesConfig,
        policy: TriggerPolicy,
        *,
        checkpoints: Checkpoints,
        outcomes_topic: Sink,
        decisions_topic: Sink,
        jobs_topic: Sink,
        dead_letters_topic: Sink,
    ) -> None:
        self._config = config
        self._outcomes = outcomes
        self._policy = policy
        self._checkpoints = checkpoints
        self._outcomes_topic = outcomes_topic
        self._decisions_topic = decisions_topic
        self._jobs_topic = jobs_topic
        self._dead_letters_topic = dead_letters_topic
        self._universe: _Universe | None = None
        self._turn = asyncio.Lock()

    def forget(self) -> None:
        """Drop everything in memory; the checkpoint and the topics have it."""
        self._universe = None

    async def take(self, source: Source, partition: int, events: list[EventT[Any]]) -> None:
        """Take messages of a source, settle what is mature, publish it, acknowledge."""
        async with self._turn:
            universe = self._universe
            if universe is None:
                universe = self._universe = await self._restore(partition)
            refused: list[Message] = []
            envelope: Envelope | None = None
            for event in events:
                last_ns = 0  # what is refused waits for nothing
                try:
                    envelope = Envelope.from_headers(event.message.headers)
                    last_ns = _add(universe.join, source, event.message.value, envelope)
                except (SchemaError, GraphRunError) as error:
                    refused.append(_undecodable(event, error))
                universe.unacknowledged[source].append((last_ns, event))
            await publish(self._dead_letters_topic, refused)
            while (mature := universe.join.take()) is not None:
                windows, outcomes = settle(
                    mature,
                    universe.settled.outcomes,
                    self._outcomes,
                    universe=self._config.universe,
                    size_ns=self._config.window_size_ns,
                )
                await self._settle(universe, partition, windows, outcomes, envelope)
            universe.acknowledge()

    async def _settle(
        self,
        universe: _Universe,
        partition: int,
        windows: Sequence[SettledWindow],
        outcomes: OutcomesState,
        envelope: Envelope | None,
    ) -> None:
        config = self._config
        decided, trigger = decide(
            self._policy, universe.settled.trigger, windows, size_ns=config.window_size_ns
        )
        # Messages that were refused have told no run; those that made a window mature have.
        run_id = envelope.run_id if envelope is not None else config.run_id
        mode = config.mode
        key = config.universe.encode()
        outbox = Outbox(
            jobs=tuple(
                control_message(
                    one.job, run_id=run_id, mode=mode, key=one.job.job_id.encode(), ts_ns=one.job.requested_ns
                )
                for one in decided
                if one.job is not None
            ),
            decisions=tuple(
                control_message(one.decision, run_id=run_id, mode=mode, key=key, ts_ns=one.decision.ts_close)
                for one in decided
            ),
            outcomes=tuple(
                control_message(outcome, run_id=run_id, mode=mode, key=key, ts_ns=outcome.ts_close)
                for window in windows
                for outcome in window.outcomes
            ),
        )
        settled = Settled(outcomes, trigger, outbox)
        await self._checkpoints.save(partition, settled.to_bytes())
        await self._send(outbox)
        universe.settled = settled
        for one in decided:
            if one.job is not None:
                logger.warning("job %s asked for: %s", one.job.job_id, one.job.reason)

    async def _send(self, outbox: Outbox) -> None:
        await publish(self._jobs_topic, outbox.jobs)
        await publish(self._decisions_topic, outbox.decisions)
        await publish(self._outcomes_topic, outbox.outcomes)

    async def _restore(self, partition: int) -> _Universe:
        saved = await self._checkpoints.load(partition)
        if saved is None:
            settled = Settled(OutcomesState(), TriggerState(), Outbox())
        else:
            settled = Settled.from_bytes(saved)
            # Whether they were sent before the crash is not known; whoever reads them knows them by their content.
            await self._send(settled.outbox)
        config = self._config
        join = OutcomeJoin(
            self._outcomes,
            settled.outcomes,
            universe=config.universe,
            size_ns=config.window_size_ns,
            mode=config.mode,
        )
        return _Universe(settled, join)


class OutcomesStage(Stage):
    """Brings one of the two sources to the hub they share."""

    def __init__(self, app: faust.App, offsets: SourceOffsets, hub: OutcomesHub, source: Source) -> None:
        super().__init__(app, offsets)
        self._hub = hub
        self._source: Source = source

    def forget(self) -> None:
        """Let the hub begin anew: both sources are revoked together, since their partitions are assigned together."""
        self._hub.forget()

    async def process(self, partition: int, events: list[EventT[Any]]) -> None:
        """Hand messages to the hub."""
        await self._hub.take(self._source, partition, events)

    async def checkpoint_if_due(self) -> None:
        """Do nothing: the hub writes a checkpoint with all that it settles."""


def _add(join: OutcomeJoin, source: Source, value: bytes | None, envelope: Envelope) -> int:
    """Return until which window the message must wait, ns; 0 where nothing of it is needed."""
    if source == "graphs":
        return join.add_graphs(decode_graphs(value, envelope))
    return join.add_predictions(decode_predictions(value, envelope))


def _undecodable(event: EventT[Any], error: Exception) -> Message:
    return dead_letter(
        event, cause="undecodable", detail=str(error), payload=event.message.value or b"", n_records=0
    )
