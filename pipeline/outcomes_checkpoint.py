"""What an outcomes worker's checkpoint holds: what is settled, and the records that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from pipeline.errors import StateDecodeError
from pipeline.outcomes_state import OutcomesState
from pipeline.state_bytes import decode_state, encode_state
from pipeline.trigger_state import TriggerState
from topics.envelope import Message

_KIND: Final = "outcomes-stage"
_VERSION: Final = 1


class Outbox(msgspec.Struct, frozen=True):
    """Messages that follow from a checkpoint, by topic, in the order in which they are sent."""

    jobs: tuple[Message, ...] = ()
    decisions: tuple[Message, ...] = ()
    outcomes: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Settled:
    """What a checkpoint holds."""

    outcomes: OutcomesState
    trigger: TriggerState
    outbox: Outbox

    def to_bytes(self) -> bytes:
        """Encode for a checkpoint."""
        parts = {
            "outcomes": self.outcomes.to_bytes(),
            "trigger": self.trigger.to_bytes(),
            "outbox": msgspec.msgpack.encode(self.outbox),
        }
        return encode_state(
            _KIND, _VERSION, {}, {name: np.frombuffer(part, np.uint8) for name, part in parts.items()}
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Settled:
        """Decode what `to_bytes` wrote.

        Raises
        ------
        StateDecodeError
            The bytes are no such checkpoint.
        """
        _, arrays = decode_state(data, _KIND, _VERSION)
        try:
            outbox = msgspec.msgpack.decode(arrays["outbox"].tobytes(), type=Outbox)
            parts = arrays["outcomes"].tobytes(), arrays["trigger"].tobytes()
        except (KeyError, msgspec.MsgspecError) as error:
            raise StateDecodeError(f"a checkpoint of the outcomes stage is damaged: {error!r}") from error
        return cls(OutcomesState.from_bytes(parts[0]), TriggerState.from_bytes(parts[1]), outbox)
