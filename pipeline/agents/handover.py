"""What a stage hands to the next one of its worker before the broker has it: live markets then wait for no topic.

The same message follows on its topic, and the next stage drops it as the repetition that it would drop after a
restart. So three rules make a handover safe, see ADR 0011:

- It goes on without a gap from what the next stage knows, or is left to the topic.
- What is made of it is sent at once, but nothing is acknowledged for it: the message on the topic is.
- It is a function of ticks that are unacknowledged, so that a worker that is killed makes it again, to the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from topics.envelope import Envelope

Run = TypeVar("Run")


@dataclass(frozen=True, slots=True)
class Handover(Generic[Run]):
    """A run that goes on from the one before it.

    Attributes
    ----------
    run
        Of closed windows or of snapshots.
    after_ns
        The run holds all of its sequence between after_ns and its own end.
    envelope
        Of the message that completed it, for its run id and mode.
    """

    run: Run
    after_ns: int
    envelope: Envelope


class Successor(Protocol[Run]):
    """The next stage of a worker."""

    async def take_early(self, handover: Handover[Run]) -> None:
        """Handle a run and send what is made of it, unless the topic has to bring something first."""
