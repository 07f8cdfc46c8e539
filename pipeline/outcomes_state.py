"""What the outcomes stage carries from window to window, as a value that survives a restart.

It holds no prediction and no price: windows that wait are read again from the topics, because their messages are
acknowledged only once they are settled. So a checkpoint has some tens of KB, however far a role is behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np

from pipeline.drift import BINS, CODES, DriftState
from pipeline.errors import StateDecodeError
from pipeline.state_bytes import Arrays, decode_state, encode_state
from topics.types import Role

_KIND: Final = "outcomes"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class RoleState:
    """One role's model and how the stream has moved since it began to serve.

    Attributes
    ----------
    features, scores
        Of the snapshots' F features, and of the model's scores (one column).
    """

    model_id: str
    features: DriftState
    scores: DriftState


@dataclass(frozen=True, slots=True)
class OutcomesState:
    """Everything that the next outcome needs of the ones before.

    Attributes
    ----------
    ts_close
        Every window with ts_close <= this is settled, ns; 0 before the first.
    roles
        Of each role that has predicted after its warm-up.
    """

    ts_close: int = 0
    roles: Mapping[Role, RoleState] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Encode for a checkpoint."""
        fields: dict[str, int | str] = {"ts_close": self.ts_close}
        arrays: Arrays = {}
        for role in sorted(self.roles):
            found = self.roles[role]
            fields[f"{role}.model_id"] = found.model_id
            for name, drift in (("features", found.features), ("scores", found.scores)):
                fields[f"{role}.{name}"] = drift.n_windows
                arrays[f"{role}.{name}.reference"] = drift.reference
                arrays[f"{role}.{name}.recent"] = drift.recent
        return encode_state(_KIND, _VERSION, fields, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Decode what `to_bytes` wrote.

        Raises
        ------
        StateDecodeError
            The bytes are no such checkpoint.
        """
        fields, arrays = decode_state(data, _KIND, _VERSION)
        known: tuple[Role, ...] = ("student", "teacher")
        try:
            return cls(
                int(fields["ts_close"]),
                {
                    role: RoleState(
                        str(fields[f"{role}.model_id"]),
                        *(_drift(f"{role}.{name}", fields, arrays) for name in ("features", "scores")),
                    )
                    for role in known
                    if f"{role}.model_id" in fields
                },
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StateDecodeError(f"an outcomes checkpoint lacks a field: {error!r}") from error


def _drift(name: str, fields: Mapping[str, int | str], arrays: Arrays) -> DriftState:
    reference, recent = arrays[f"{name}.reference"], arrays[f"{name}.recent"]
    if reference.dtype != np.int64 or reference.ndim != 2 or reference.shape[1] != CODES:
        raise StateDecodeError(
            f"`{name}.reference` must be int64 (C, {CODES}), was {reference.dtype} {reference.shape}"
        )
    if recent.dtype != np.float64 or recent.shape != (len(reference), BINS):
        raise StateDecodeError(
            f"`{name}.recent` must be float64 ({len(reference)}, {BINS}), was {recent.dtype} {recent.shape}"
        )
    return DriftState(int(fields[name]), reference, recent)
