"""Outcomes and trigger decisions, each once: a worker that restarts sends its last ones again."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeAlias, TypeVar

from aiokafka import ConsumerRecord

from topics.connection import admin_client, read_to_end, reader_client
from topics.control import Outcome, TriggerDecision, decode_control
from topics.envelope import Envelope
from topics.errors import LiveTopicRefused, SchemaError
from topics.groups import partitions_of
from topics.specs import TopicNames, is_replay_name, topic_names

_LOG: Final = logging.getLogger(__name__)

LoopRecord: TypeAlias = Outcome | TriggerDecision
Record = TypeVar("Record", Outcome, TriggerDecision)


class LoopSequence:
    """Outcomes or decisions of one universe, as they lie on their topic, each once. Mutates self.

    They come ascending; what is sent again after a crash goes back some windows and is the same byte for byte.
    """

    def __init__(self, universe: str) -> None:
        self._universe = universe
        self._last_ns: dict[str, int] = {}

    def is_new(self, record: LoopRecord) -> bool:
        """Return whether a record is of the universe and was not seen yet."""
        if record.universe != self._universe:
            return False
        if isinstance(record, TriggerDecision):
            # A manual decision is of the moment in which it was asked for, not of the sequence.
            key = f"manual {record.job_id}" if record.trigger == "manual" else ""
        else:
            key = record.role
        if record.ts_close <= self._last_ns.get(key, -1):
            return False
        self._last_ns[key] = record.ts_close
        return True


async def read_outcomes(
    bootstrap: str, *, universe: str, prefix: str = "", allow_replay: bool = False
) -> list[Outcome]:
    """Return every outcome that the topic holds now, each once, in order.

    Raises
    ------
    LiveTopicRefused
        The prefix is a replay's, without `allow_replay`.
    BrokerUnavailable
        Nobody answers.
    BrokerError
        The topic does not exist.
    """
    topic = _topic(prefix, allow_replay).outcomes
    return await _read(Outcome, bootstrap, topic, universe, allow_replay)


async def read_decisions(
    bootstrap: str, *, universe: str, prefix: str = "", allow_replay: bool = False
) -> list[TriggerDecision]:
    """Return every recorded trigger decision, each once, in order; raises as `read_outcomes`."""
    topic = _topic(prefix, allow_replay).distill_decisions
    return await _read(TriggerDecision, bootstrap, topic, universe, allow_replay)


@asynccontextmanager
async def follow_outcomes(
    bootstrap: str,
    *,
    universe: str,
    prefix: str = "",
    from_beginning: bool = False,
    allow_replay: bool = False,
) -> AsyncIterator[AsyncIterator[Outcome]]:
    """Yield outcomes as they come, each once; raises as `read_outcomes`.

    Parameters
    ----------
    from_beginning
        Start with the oldest that the topic holds, not with the next.

    Examples
    --------
    >>> async with follow_outcomes(bootstrap, universe="sp500") as outcomes:  # doctest: +SKIP
    ...     async for outcome in outcomes:
    ...         print(outcome.ts_close, outcome.role, outcome.rank_ic)
    """
    topic = _topic(prefix, allow_replay).outcomes
    sequence = LoopSequence(universe)
    async with admin_client(bootstrap) as admin:
        partitions = await partitions_of(admin, [topic])
    async with reader_client(bootstrap) as consumer:
        consumer.assign(partitions)
        if not from_beginning:
            # What lies there already is known, so that a worker's restart repeats nothing of it.
            async for message in read_to_end(consumer, partitions):
                _decode(Outcome, message, sequence, allow_replay)

        async def follow() -> AsyncIterator[Outcome]:
            while True:
                outcome = _decode(Outcome, await consumer.getone(), sequence, allow_replay)
                if outcome is not None:
                    yield outcome

        yield follow()


def _topic(prefix: str, allow_replay: bool) -> TopicNames:
    if is_replay_name(prefix) and not allow_replay:
        raise LiveTopicRefused(f"`prefix` (={prefix!r}) is a replay's: say `allow_replay=True` to read one")
    return topic_names(prefix)


async def _read(
    kind: type[Record], bootstrap: str, topic: str, universe: str, allow_replay: bool
) -> list[Record]:
    sequence = LoopSequence(universe)
    async with admin_client(bootstrap) as admin:
        partitions = await partitions_of(admin, [topic])
    async with reader_client(bootstrap) as consumer:
        consumer.assign(partitions)
        found = [
            _decode(kind, record, sequence, allow_replay)
            async for record in read_to_end(consumer, partitions)
        ]
    return [record for record in found if record is not None]


def _decode(
    kind: type[Record], message: ConsumerRecord[bytes, bytes], sequence: LoopSequence, allow_replay: bool
) -> Record | None:
    try:
        envelope = Envelope.from_headers(message.headers)
        record = decode_control(message.value, envelope)
    except SchemaError as error:
        _LOG.warning("%s offset %d is no record: %s", message.topic, message.offset, error)
        return None
    if not isinstance(record, kind) or (envelope.mode == "replay" and not allow_replay):
        return None
    return record if sequence.is_new(record) else None
