"""The hidden state of a streaming model, as a value.

The LAST axis of every array is N, so that a universe which grows or is reordered moves columns only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as _load
from safetensors.numpy import save as _save

from cs3g_model.errors import ShapeError, StateDecodeError, StateMismatchError

__all__ = ["HiddenState"]

_FORMAT = "cs3g-hidden-state-1"
# The one key of the metadata: safetensors writes several in an order that varies, and equal states
# have to be equal bytes.


@dataclass(frozen=True, slots=True)
class HiddenState:
    """What a model remembers of every instrument.

    A fresh row, of an instrument never seen, is all zeros.

    Attributes
    ----------
    arrays
        Named arrays, (..., N) each.
    model_id
        The model that they belong to; no other may read them.
    """

    arrays: dict[str, NDArray[np.float32]]
    model_id: str

    @property
    def n_instruments(self) -> int:
        """N, or 0 for a model without arrays."""
        return next((int(array.shape[-1]) for array in self.arrays.values()), 0)

    def require(self, model_id: str, n_instruments: int) -> None:
        """Check that this state fits a model and a run.

        Raises
        ------
        StateMismatchError
            If the state is another model's, or of another N.
        """
        if self.model_id != model_id:
            raise StateMismatchError(
                f"the hidden state is of model {self.model_id!r}, this is {model_id!r}: "
                "start from `initial_state` and warm up again",
                expected=model_id,
                actual=self.model_id,
            )
        if self.n_instruments != n_instruments:
            raise StateMismatchError(
                f"the hidden state holds {self.n_instruments} instruments, the run {n_instruments}: "
                "`reindex` it",
                expected=n_instruments,
                actual=self.n_instruments,
            )

    def reindex(self, index: NDArray[np.int64]) -> HiddenState:
        """Move the instruments to other places.

        Parameters
        ----------
        index
            (N',) int64, old place of each new instrument, -1 for a fresh row.

        Returns
        -------
        HiddenState
            With N' instruments; this one is unchanged.

        Raises
        ------
        ShapeError
            If an index is neither -1 nor an old place.
        """
        index = np.asarray(index, np.int64)
        n = self.n_instruments
        if index.ndim != 1 or (index.size and (index.min() < -1 or index.max() >= n)):
            raise ShapeError(f"`index` must be one-dimensional with values in [-1, {n}), was {index!r}")
        fresh = index < 0
        moved = {}
        for name, array in self.arrays.items():
            out = np.zeros((*array.shape[:-1], len(index)), array.dtype)
            out[..., ~fresh] = array[..., index[~fresh]]
            moved[name] = out
        return HiddenState(moved, self.model_id)

    def to_bytes(self) -> bytes:
        """Encode as safetensors with the model id in the metadata."""
        arrays = {name: np.ascontiguousarray(array) for name, array in self.arrays.items()}
        return bytes(_save(arrays, metadata={_FORMAT: self.model_id}))

    @classmethod
    def from_bytes(cls, data: bytes, model_id: str) -> HiddenState:
        """Decode what `to_bytes` wrote.

        Parameters
        ----------
        data
            The bytes.
        model_id
            The model that is going to read the state.

        Raises
        ------
        StateDecodeError
            If the bytes are not a hidden state.
        StateMismatchError
            If the state is another model's.
        """
        try:
            arrays = _load(data)
        except (SafetensorError, KeyError, ValueError) as error:
            raise StateDecodeError(f"{len(data)} bytes are not a hidden state: {error}") from error
        size = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + size]).get("__metadata__", {})
        if set(metadata) != {_FORMAT}:
            raise StateDecodeError(f"the metadata must name {_FORMAT!r} alone, were {sorted(metadata)}")
        sizes = {array.shape[-1] if array.ndim else None for array in arrays.values()}
        if len(sizes) > 1 or None in sizes:
            raise StateDecodeError("the hidden state's arrays do not share their last axis")
        if any(array.dtype != np.float32 for array in arrays.values()):
            raise StateDecodeError("the hidden state's arrays must be float32")
        if metadata[_FORMAT] != model_id:
            raise StateMismatchError(
                f"the hidden state is of model {metadata[_FORMAT]!r}, this is {model_id!r}",
                expected=model_id,
                actual=metadata[_FORMAT],
            )
        return cls(arrays, model_id)
