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
    BoolArray,
    Float32Array,
    Float64Array,
    Int32Array,
    Int64Array,
    UInt32Array,
)

_KIND: Final = "graphs"
_VERSION: Final = 1
_SCALARS: Final = ("ts_close", "frontier_ns", "seq")
_DTYPES: Final = {
    "instrument_ids": np.uint32,
    "last_close": np.int64,
    "returns": np.float64,
    "returns_valid": np.bool_,
    "neighbors": np.int32,
    "neighbor_weights": np.float32,
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
    returns, returns_valid
        (W, N) ring of the last snapshots' returns in rows seq mod W, and whether there is one.
    neighbors, neighbor_weights
        (N, K) the last refresh's neighbors as indices into N, -1 for none.
    """

    ts_close: int
    frontier_ns: int
    seq: int
    instrument_ids: UInt32Array
    last_close: Int64Array
    returns: Float64Array
    returns_valid: BoolArray
    neighbors: Int32Array
    neighbor_weights: Float32Array

    @classmethod
    def initial(cls, config: GraphConfig) -> Self:
        """Make the state before the first window."""
        depth, width = config.correlation_windows, config.neighbors
        return cls(
            ts_close=0,
            frontier_ns=0,
            seq=0,
            instrument_ids=np.empty(0, np.uint32),
            last_close=np.empty(0, np.int64),
            returns=np.zeros((depth, 0), np.float64),
            returns_valid=np.zeros((depth, 0), np.bool_),
            neighbors=np.zeros((0, width), np.int32),
            neighbor_weights=np.zeros((0, width), np.float32),
        )

    def passed(self, frontier_ns: int) -> Self:
        """Return the state after every window up to frontier_ns, the last of them perhaps empty."""
        return replace(self, frontier_ns=max(self.frontier_ns, frontier_ns))

    def grown(self, instrument_ids: UInt32Array) -> Self:
        """Return a copy for a superset of the instruments, ascending; all its arrays are new."""
        place = np.searchsorted(instrument_ids, self.instrument_ids)
        n, depth, width = len(instrument_ids), self.returns.shape[0], self.neighbors.shape[1]
        last_close = np.full(n, UNDEF_PRICE, np.int64)
        last_close[place] = self.last_close
        returns = np.zeros((depth, n), np.float64)
        returns[:, place] = self.returns
        returns_valid = np.zeros((depth, n), np.bool_)
        returns_valid[:, place] = self.returns_valid
        neighbors = np.full((n, width), -1, np.int32)
        # -1 reads the appended entry, itself -1.
        neighbors[place] = np.append(place, -1).astype(np.int32)[self.neighbors]
        neighbor_weights = np.zeros((n, width), np.float32)
        neighbor_weights[place] = self.neighbor_weights
        return type(self)(
            self.ts_close,
            self.frontier_ns,
            self.seq,
            instrument_ids,
            last_close,
            returns,
            returns_valid,
            neighbors,
            neighbor_weights,
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
            It was made with other correlation windows or neighbors.
        """
        fields, arrays = decode_state(data, _KIND, _VERSION)
        try:
            ts_close, frontier_ns, seq = (int(fields[name]) for name in _SCALARS)
            found = {name: arrays[name] for name in _DTYPES}
            n, depth = len(found["instrument_ids"]), len(found["returns"])
            width = found["neighbors"].shape[-1]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise StateDecodeError(f"a graphs checkpoint lacks a field: {error!r}") from error
        shapes = {"returns": (depth, n), "returns_valid": (depth, n)}
        shapes |= {"neighbors": (n, width), "neighbor_weights": (n, width)}
        for name, array in found.items():
            expected_shape = shapes.get(name, (n,))
            if array.shape != expected_shape or array.dtype != _DTYPES[name]:
                raise StateDecodeError(
                    f"a graphs checkpoint's `{name}` must be {np.dtype(_DTYPES[name])} {expected_shape},"
                    f" was {array.dtype} {array.shape}"
                )
        expected = config.correlation_windows, config.neighbors
        if (depth, width) != expected:
            raise StateMismatchError(
                f"the checkpoint has (correlation_windows, neighbors) = {(depth, width)},"
                f" the configuration {expected}: start under another run id",
                expected=expected,
                actual=(depth, width),
            )
        return cls(ts_close, frontier_ns, seq, **found)
