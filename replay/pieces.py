"""What a replay sends, piece by piece: records in order, heartbeats among them, and where each belongs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from replay.errors import EmptyReplay
from topics.types import RecordArray


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive records of one schema.

    Attributes
    ----------
    records
        (n,) heartbeats included.
    targets
        (n,) tick partition of each record.
    ticks, tick_targets
        The same without the heartbeats.
    """

    schema: str
    records: RecordArray
    targets: NDArray[np.uint16]
    ticks: RecordArray
    tick_targets: NDArray[np.uint16]


class Stream(Protocol):
    """Everything that a replay sends, in order, before pace and messages."""

    @property
    def schema(self) -> str:
        """The one schema, or the widest of several."""

    @property
    def heartbeats(self) -> int:
        """Heartbeats in the pieces so far."""

    @property
    def held_back(self) -> int:
        """Ticks held back on purpose (`ReplayConfig.late`) so far."""

    def chunks(self) -> Iterator[RecordArray]:
        """Yield the ticks from the start, without heartbeats, in chunks that are never empty."""

    def pieces(self) -> Iterator[Piece]:
        """Yield everything from the start; pieces are never empty."""

    def empty(self) -> EmptyReplay:
        """Return the error that says why there is nothing to emit."""
