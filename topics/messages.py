"""Whole messages of each kind: value, key, headers and event time in one place."""

from __future__ import annotations

from typing import Final

from topics.control import ControlRecord, control_envelope, encode_control
from topics.envelope import ARROW, DBN, Envelope, Message
from topics.graphs_codec import GRAPHS_SCHEMA, GRAPHS_VERSION, encode_graphs
from topics.predictions_codec import PREDICTIONS_SCHEMA, PREDICTIONS_VERSION, encode_predictions
from topics.runs import GraphRun, PredictionRun, TickRun, WindowRun
from topics.ticks import TICKS_VERSION, encode_ticks
from topics.types import Mode
from topics.windows_codec import WINDOWS_SCHEMA, WINDOWS_VERSION, encode_windows

_NANOS_PER_MS: Final = 1_000_000


def tick_message(run: TickRun, *, run_id: str, mode: Mode, seq: int, partition: int) -> Message:
    """Return the message of a run of ticks of one shard.

    Parameters
    ----------
    seq
        Records sent to this partition before this message, heartbeats included.
    partition
        instrument_id % partitions; also the key, as text.
    """
    envelope = Envelope(
        run.schema, TICKS_VERSION, DBN, run_id=run_id, mode=mode, seq=seq, count=len(run.records)
    )
    last_ns = int(run.records["ts_event"].max())
    return Message(
        b"%d" % partition, encode_ticks(run), envelope.to_headers(), _milliseconds(last_ns), partition
    )


def window_message(run: WindowRun, *, run_id: str, mode: Mode, seq: int) -> Message:
    """Return the message of a run of windows; `seq` counts the partition's windows messages."""
    envelope = Envelope(
        WINDOWS_SCHEMA, WINDOWS_VERSION, ARROW, run_id=run_id, mode=mode, seq=seq, count=len(run.rows)
    )
    return Message(
        run.universe.encode(), encode_windows(run), envelope.to_headers(), _milliseconds(run.frontier_ns)
    )


def graph_message(run: GraphRun, *, run_id: str, mode: Mode) -> Message:
    """Return the message of a run of graph snapshots."""
    envelope = Envelope(
        GRAPHS_SCHEMA, GRAPHS_VERSION, ARROW, run_id=run_id, mode=mode, seq=run.seq, count=len(run.ts_close)
    )
    return Message(run.universe.encode(), encode_graphs(run), envelope.to_headers(), _last_close_ms(run))


def prediction_message(run: PredictionRun, *, run_id: str, mode: Mode) -> Message:
    """Return the message of a run of predictions."""
    envelope = Envelope(
        PREDICTIONS_SCHEMA,
        PREDICTIONS_VERSION,
        ARROW,
        run_id=run_id,
        mode=mode,
        seq=run.seq,
        count=len(run.ts_close),
    )
    return Message(run.universe.encode(), encode_predictions(run), envelope.to_headers(), _last_close_ms(run))


def control_message(
    record: ControlRecord, *, run_id: str, mode: Mode, key: bytes, ts_ns: int | None = None
) -> Message:
    """Return the message of a control record.

    Parameters
    ----------
    ts_ns
        Event time, ns since the UNIX epoch; None for the producer's clock.
    """
    envelope = control_envelope(record, run_id=run_id, mode=mode)
    timestamp_ms = None if ts_ns is None else _milliseconds(ts_ns)
    return Message(key, encode_control(record), envelope.to_headers(), timestamp_ms)


def _last_close_ms(run: GraphRun | PredictionRun) -> int | None:
    return _milliseconds(int(run.ts_close[-1])) if len(run.ts_close) else None


def _milliseconds(ts_ns: int) -> int:
    # Kafka has no timestamps before 1970.
    return max(0, ts_ns // _NANOS_PER_MS)
