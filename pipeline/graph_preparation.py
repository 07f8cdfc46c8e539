"""What of a snapshot is known before its ticks are: names, announced edges, and nearly all lead-lag sums.

Between two windows of a live market a worker has time; behind the last tick of one it has none. A preparation changes
no bit of what is built with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UnknownInstrumentError
from pipeline.graph_config import GraphConfig, InstrumentDirectory
from pipeline.graph_state import GraphState
from pipeline.lead_lag import begin_leaders
from pipeline.lead_lag_sums import leader_workspace
from topics.types import Float32Array, Float64Array, Int32Array, UInt32Array

MAX_WORK_BYTES: Final = 32 * 1024 * 1024
"""Universes whose sums take more, of some 1,500 instruments, are not prepared."""


@dataclass(frozen=True, slots=True)
class Axis:
    """What a snapshot says of its instruments besides the ticks.

    Attributes
    ----------
    instrument_ids
        (N,) ascending.
    symbols
        N names.
    sector
        (N,) codes, -1 where unknown.
    edges
        Of every announced relation, sorted by name: (N, K) positions and weights.
    """

    instrument_ids: UInt32Array
    symbols: tuple[str, ...]
    sector: NDArray[np.int16]
    edges: tuple[tuple[Int32Array, Float32Array], ...]

    @classmethod
    def of(cls, instrument_ids: UInt32Array, directory: InstrumentDirectory) -> Self:
        """Look the instruments up.

        Raises
        ------
        UnknownInstrumentError
            One was never announced.
        """
        ids = instrument_ids.tolist()
        return cls(
            instrument_ids,
            _symbols(ids, directory),
            np.array([directory.sectors.get(i, -1) for i in ids], np.int16),
            tuple(edges.positions(instrument_ids) for _, edges in sorted(directory.edges.items())),
        )


@dataclass(frozen=True, slots=True)
class Preparation:
    """What `build_graphs` need not do for the next window; nobody writes into its arrays."""

    returns: Float32Array
    seq: int
    directory: InstrumentDirectory
    axis: Axis
    work: Float64Array | None

    def suits(self, state: GraphState, directory: InstrumentDirectory, instrument_ids: UInt32Array) -> bool:
        """Return whether it was made of just these."""
        return (
            self.returns is state.returns
            and self.seq == state.seq
            and self.directory is directory
            and self.axis.instrument_ids is instrument_ids
        )


def prepare(state: GraphState, directory: InstrumentDirectory, config: GraphConfig) -> Preparation:
    """Do what is known of the next snapshot. Pure.

    Parameters
    ----------
    state
        After the last one.
    directory, config
        As in `build_graphs`.
    """
    ids = state.instrument_ids
    turn = np.flatnonzero(ids % np.uint32(config.lead_stride) == state.seq % config.lead_stride)
    work = None
    if config.lead_neighbors:
        work = leader_workspace(config.lead_windows, len(ids), max(len(turn), 1))
        if work.nbytes > MAX_WORK_BYTES:
            work = None
        else:
            begin_leaders(state.returns, state.seq, config.lead_windows, turn.astype(np.int32), work)
    return Preparation(state.returns, state.seq, directory, Axis.of(ids, directory), work)


def _symbols(ids: list[int], directory: InstrumentDirectory) -> tuple[str, ...]:
    if not directory.symbols.keys() >= set(ids):
        unknown = tuple(i for i in ids if i not in directory.symbols)
        raise UnknownInstrumentError(
            f"instruments {', '.join(map(str, unknown[:5]))} tick but were never announced:"
            " announce every instrument on the instruments topic before its first tick",
            instrument_ids=unknown,
        )
    return tuple(map(directory.symbols.__getitem__, ids))
