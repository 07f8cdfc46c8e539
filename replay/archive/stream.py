"""The stream of a replay that repeats a recording: its own partitions, order and heartbeats."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from replay.archive.recorded import RecordedSource
from replay.config import ReplayConfig
from replay.errors import ConfigError, EmptyReplay
from replay.pieces import Piece
from topics.ticks import is_heartbeat, take_records, tick_schema
from topics.types import BoolArray, RecordArray


class RecordedStream:
    """Records of an archive, cut to the selection. Mutates self.

    Raises
    ------
    ConfigError
        The clock is one that the schema lacks, other partitions than the recorded ones, or another order.
    """

    def __init__(self, config: ReplayConfig, source: RecordedSource) -> None:
        self.schema = source.schema
        if config.clock not in (tick_schema(self.schema).dtype.names or ()):
            raise ConfigError(f"schema {self.schema} has no {config.clock}; replay it with --clock ts_event")
        if config.partitions != source.archive.partitions:
            raise ConfigError(
                f"{source.name}: was recorded with {source.archive.partitions} tick partitions, whose order a"
                f" replay keeps: replay it with --partitions {source.archive.partitions}"
            )
        if config.late is not None:
            raise ConfigError(
                f"{source.name}: is an archive, which is replayed in the order in which it was recorded:"
                " leave --late out"
            )
        self.heartbeats = 0
        self.held_back = 0
        self._config = config
        self._source = source

    def chunks(self) -> Iterator[RecordArray]:
        """Yield the ticks from the start, without heartbeats, in chunks that are never empty."""
        for piece in self.pieces():
            if len(piece.ticks):
                yield piece.ticks

    def pieces(self) -> Iterator[Piece]:
        """Yield everything from the start; pieces are never empty."""
        self.heartbeats = 0
        left = self._config.limit
        for piece in self._source.pieces():
            kept = self._kept(piece, left)
            if kept is not None:
                self.heartbeats += len(kept.records) - len(kept.ticks)
                yield kept
            if left is not None:
                left -= 0 if kept is None else len(kept.ticks)
                if left <= 0:
                    return

    def empty(self) -> EmptyReplay:
        """Return the error that says why there is nothing to emit."""
        return EmptyReplay(
            f"nothing to replay: {self._source.tally.rows} ticks in {self._source.name}, none of them in the"
            " selection; look at --from, --to, --session and --symbols"
        )

    def _kept(self, piece: Piece, left: int | None) -> Piece | None:
        config = self._config
        times = piece.records["ts_event"]
        inside: BoolArray = np.ones(len(times), np.bool_)
        if config.start_ns is not None:
            inside &= times >= max(config.start_ns, 0)
        if config.end_ns is not None:
            inside &= times < max(config.end_ns, 0)
        is_tick = ~is_heartbeat(piece.records)
        if config.session is not None:
            inside &= config.session.contains(times)
        if left is not None:
            inside &= np.cumsum(inside & is_tick) <= left
        if inside.all():
            return piece if len(times) else None
        if not inside.any():
            return None
        places, ticks = np.flatnonzero(inside), np.flatnonzero(inside & is_tick)
        return Piece(
            piece.schema,
            take_records(piece.records, places),
            piece.targets[places],
            take_records(piece.records, ticks),
            piece.targets[ticks],
        )
