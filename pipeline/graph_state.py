"""What the graph stage carries from window to window, as a value that survives a restart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from pipeline.errors import StateDecodeError, StateMismatchError
from pipeline.graph_config import GraphConfig
from pipeline.state_bytes import decode_state, encode_state
from topics.types import (
    UNDEF_PRICE,
    Float32Array,
    Int32Array,
    Int64Array,
    UInt32Array,
)

_KIND: Final = "graphs"
_VERSION: Final = 2
_SCALARS: Final = ("ts_close", "frontier_ns", "seq")
_DTYPES: Final = {
    "instrument_ids": np.uint32,
    "last_close": np.int64,
    "returns": np.float32,
    "correlated": np.int32,
    "correlated_weights": np.float32,
    "leading": np.int32,
    "leading_weights": np.float32,
}


@dataclass(frozen=True, slots=True)
class GraphState:
    """Everything that the next snapshot needs of the ones before; nobody writes into its arrays.

    Attributes
    ----------
    ts_close
        End of the last emitted window, ns; 0 before the first.
    frontier_ns
        Every window with ts_close <= frontier_ns is dealt with, emitted or empty; it is where the barrier
        starts after a restart.
    seq
        Index of the next snapshot in the universe's sequence.
    instrument_ids
        (N,) ascending, every instrument seen so far.
    last_close
        (N,) in 1e-9.
    returns
        (W, N) ring of the last snapshots' returns in rows seq mod W, NaN where there is none.
    correlated, correlated_weights
        (N, K1) the last refresh's most correlated neighbors as indices into N, -1 for none.
    leading, leading_weights
        (N, K2) likewise, those that lead each instrument.
    """

    ts_close: int
    frontier_ns: int
    seq: int
    instrument_ids: UInt32Array
    last_close: Int64Array
    returns: Float32Array
    correlated: Int32Array
    correlated_weights: Float32Array
    leading: Int32Array
    leading_weights: Float32Array

    @classmethod
    def initial(cls, config: GraphConfig) -> Self:
        """Make the state before the first window."""
        return cls(
            ts_close=0,
            frontier_ns=0,
            seq=0,
            instrument_ids=np.empty(0, np.uint32),
            last_close=np.empty(0, np.int64),
            returns=np.zeros((config.ring_depth, 0), np.float32),
            correlated=np.zeros((0, config.neighbors), np.int32),
            correlated_weights=np.zeros((0, config.neighbors), np.float32),
            leading=np.zeros((0, config.lead_neighbors), np.int32),
            leading_weights=np.zeros((0, config.lead_neighbors), np.float32),
        )

    def passed(self, frontier_ns: int) -> Self:
        """Return the state after every window up to frontier_ns, the last of them perhaps empty."""
        return replace(self, frontier_ns=max(self.frontier_ns, frontier_ns))

    def instruments_with(self, instrument_ids: UInt32Array) -> UInt32Array:
        """Return the state's instruments and some others, ascending; the state's own array where none is new."""
        known = self.instrument_ids
        place = np.searchsorted(known, instrument_ids)
        if len(known) and (known[np.minimum(place, len(known) - 1)] == instrument_ids).all():
            return known
        return np.union1d(known, instrument_ids)

    def grown(self, instrument_ids: UInt32Array) -> Self:
        """Return a copy for a superset of the instruments, ascending; its arrays are new, but for the ids."""
        if instrument_ids is self.instrument_ids:
            changing = {name: getattr(self, name).copy() for name in _DTYPES if name != "instrument_ids"}
            return replace(self, **changing)
        place = np.searchsorted(instrument_ids, self.instrument_ids).astype(np.int32)
        n = len(instrument_ids)
        last_close = np.full(n, UNDEF_PRICE, np.int64)
        last_close[place] = self.last_close
        returns = np.full((len(self.returns), n), np.nan, np.float32)
        returns[:, place] = self.returns
        return type(self)(
            self.ts_close,
            self.frontier_ns,
            self.seq,
            instrument_ids,
            last_close,
            returns,
            *_moved(self.correlated, self.correlated_weights, place, n),
            *_moved(self.leading, self.leading_weights, place, n),
        )

    def to_bytes(self) -> bytes:
        """Encode for a checkpoint."""
        arrays = {name: getattr(self, name) for name in _DTYPES}
        return encode_state(_KIND, _VERSION, {name: getattr(self, name) for name in _SCALARS}, arrays)

    @classmethod
    def from_bytes(cls, data: bytes, config: GraphConfig) -> Self:
        """Decode what `to_bytes` wrote.

        Raises
        ------
        StateDecodeError
            The bytes are no such checkpoint.
        StateMismatchError
            It was made with other look-backs or numbers of neighbors.
        """
        fields, arrays = decode_state(data, _KIND, _VERSION)
        try:
            ts_close, frontier_ns, seq = (int(fields[name]) for name in _SCALARS)
            found = {name: arrays[name] for name in _DTYPES}
            n, depth = len(found["instrument_ids"]), len(found["returns"])
            widths = found["correlated"].shape[-1], found["leading"].shape[-1]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise StateDecodeError(f"a graphs checkpoint lacks a field: {error!r}") from error
        shapes = {"returns": (depth, n)}
        for name, width in zip(("correlated", "leading"), widths, strict=True):
            shapes |= {name: (n, width), f"{name}_weights": (n, width)}
        for name, array in found.items():
            expected_shape = shapes.get(name, (n,))
            if array.shape != expected_shape or array.dtype != _DTYPES[name]:
                raise StateDecodeError(
                    f"a graphs checkpoint's `{name}` must be {np.dtype(_DTYPES[name])} {expected_shape},"
                    f" was {array.dtype} {array.shape}"
                )
        expected = config.ring_depth, config.neighbors, config.lead_neighbors
        actual = depth, *widths
        if actual != expected:
            raise StateMismatchError(
                f"the checkpoint has (returns, neighbors, lead_neighbors) = {actual},"
                f" the configuration {expected}: start under another run id",
                expected=expected,
                actual=actual,
            )
        return cls(ts_close, frontier_ns, seq, **found)


def _moved(
    neighbors: Int32Array, weights: Float32Array, place: Int32Array, n: int
) -> tuple[Int32Array, Float32Array]:
    # Instruments go to `place` among n; -1 reads the appended entry, itself -1.
    width = neighbors.shape[1]
    new, new_weights = np.full((n, width), -1, np.int32), np.zeros((n, width), np.float32)
    new[place] = np.append(place, np.int32(-1))[neighbors]
    new_weights[place] = weights
    return new, new_weights
