"""The newest prediction of each instrument: what a strategy that restarts begins with."""

from __future__ import annotations

import logging
from typing import Final

import numpy as np

from topics.connection import admin_client, read_to_end, reader_client
from topics.control import LatestPrediction, decode_control
from topics.envelope import Envelope, Message
from topics.errors import LiveTopicRefused, SchemaError
from topics.groups import partitions_of
from topics.messages import control_message
from topics.runs import PredictionRun
from topics.specs import is_replay_name, topic_names
from topics.types import Mode, Role

_LOG: Final = logging.getLogger(__name__)


def latest_messages(run: PredictionRun, *, run_id: str, mode: Mode) -> list[Message]:
    """Return a message for each instrument present in a run's newest window, for one producer batch."""
    if not len(run.ts_close):
        return []
    present = np.flatnonzero(run.mask[-1])
    ts_close = int(run.ts_close[-1])
    records = [
        LatestPrediction(
            universe=run.universe,
            role=run.role,
            model_id=run.model_id,
            instrument_id=instrument_id,
            symbol=run.symbols[position],
            ts_close=ts_close,
            score=score,
            rank=rank,
            n_instruments=len(present),
            warmup=bool(run.warmup[-1]),
        )
        for position, instrument_id, score, rank in zip(
            present.tolist(),
            run.instrument_ids[present].tolist(),
            run.scores[-1, present].tolist(),
            run.ranks[-1, present].tolist(),
            strict=True,
        )
    ]
    return [
        control_message(record, run_id=run_id, mode=mode, key=record.key(), ts_ns=ts_close)
        for record in records
    ]


async def read_latest(
    bootstrap: str, *, universe: str, role: Role = "student", prefix: str = "", allow_replay: bool = False
) -> dict[int, LatestPrediction]:
    """Return each instrument's newest prediction, by instrument id.

    Raises
    ------
    LiveTopicRefused
        The prefix is a replay's, without `allow_replay`.
    BrokerUnavailable
        Nobody answers.
    BrokerError
        The topic does not exist.
    """
    if is_replay_name(prefix) and not allow_replay:
        raise LiveTopicRefused(f"`prefix` (={prefix!r}) is a replay's: say `allow_replay=True` to read one")
    topic = topic_names(prefix).predictions_latest
    async with admin_client(bootstrap) as admin:
        partitions = await partitions_of(admin, [topic])
    latest: dict[int, LatestPrediction] = {}
    async with reader_client(bootstrap) as consumer:
        consumer.assign(partitions)
        async for record in read_to_end(consumer, partitions):
            try:
                envelope = Envelope.from_headers(record.headers)
                found = decode_control(record.value, envelope)
            except SchemaError as error:
                _LOG.warning("%s offset %d is no prediction: %s", topic, record.offset, error)
                continue
            if not isinstance(found, LatestPrediction) or (envelope.mode == "replay" and not allow_replay):
                continue
            before = latest.get(found.instrument_id)
            # A restarted worker may repeat an older window after a newer one.
            is_newer = before is None or found.ts_close >= before.ts_close
            if found.universe == universe and found.role == role and is_newer:
                latest[found.instrument_id] = found
    return latest
