"""What the trigger policy remembers from window to window, as a value that survives a restart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np

from pipeline.errors import StateDecodeError
from pipeline.state_bytes import Arrays, decode_state, encode_state
from topics.types import Float64Array, Int64Array

_KIND: Final = "trigger"
_VERSION: Final = 1
_NUMBERS: Final = ("ts_close", "model_since_ns", "scheduled_ns", "effective_ns", "n_unrecorded")
_TEXTS: Final = ("model_id", "recorded")
_DTYPES: Final = {
    "reference": np.float64,
    "recent": np.float64,
    "agreements": np.float64,
    "job_times_ns": np.int64,
}


def _no_floats() -> Float64Array:
    return np.empty(0)


def _no_times() -> Int64Array:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class TriggerState:
    """Everything that the next decision needs of the windows before; nobody writes into its arrays.

    Attributes
    ----------
    ts_close
        End of the last window looked at, ns; 0 before the first.
    model_id, model_since_ns
        The student that serves, and the end of its first window.
    scheduled_ns
        What the schedule counts from: the first window, then the last job.
    effective_ns
        The last job's model may serve windows that end after it.
    recorded, n_unrecorded
        Action and trigger of the last recorded decision, and windows since.
    reference, recent, agreements
        Rank ICs of the student's first and last windows, and its last agreements with the teacher; oldest first.
    job_times_ns
        Windows in which a job was asked for, within the budget's period.
    """

    ts_close: int = 0
    model_id: str = ""
    model_since_ns: int = 0
    scheduled_ns: int = 0
    effective_ns: int = 0
    recorded: str = ""
    n_unrecorded: int = 0
    reference: Float64Array = field(default_factory=_no_floats)
    recent: Float64Array = field(default_factory=_no_floats)
    agreements: Float64Array = field(default_factory=_no_floats)
    job_times_ns: Int64Array = field(default_factory=_no_times)

    def to_bytes(self) -> bytes:
        """Encode for a checkpoint."""
        return encode_state(
            _KIND,
            _VERSION,
            {name: getattr(self, name) for name in (*_NUMBERS, *_TEXTS)},
            {name: getattr(self, name) for name in _DTYPES},
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Decode what `to_bytes` wrote.

        Raises
        ------
        StateDecodeError
            The bytes are no such checkpoint.
        """
        fields, arrays = decode_state(data, _KIND, _VERSION)
        try:
            values: dict[str, Any] = {name: int(fields[name]) for name in _NUMBERS}
            values |= {name: str(fields[name]) for name in _TEXTS}
            found: Arrays = {name: arrays[name] for name in _DTYPES}
        except (KeyError, TypeError, ValueError) as error:
            raise StateDecodeError(f"a trigger checkpoint lacks a field: {error!r}") from error
        for name, array in found.items():
            if array.dtype != _DTYPES[name] or array.ndim != 1:
                raise StateDecodeError(
                    f"a trigger checkpoint's `{name}` must be {np.dtype(_DTYPES[name])} (n,),"
                    f" was {array.dtype} {array.shape}"
                )
        return cls(**values | found)
