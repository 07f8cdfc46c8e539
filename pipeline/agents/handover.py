"""What a stage hands to the next one of its worker before the broker has it: live markets then wait for no topic.

The same message follows on its topic, and the next stage drops it as the repetition that it would drop after a
restart. So these rules make a handover safe, see ADR 0011:

- It goes on without a gap from what the next stage knows, or is left to the topic.
- So it is until the next stage has read the first message of the stage before: what an earlier worker has sent lies in
  front of that. It counts, not what this worker makes of the same window, perhaps without ticks that were acknowledged.
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
    first_offset
        Of the first message that the handing stage has sent on the topic between the two.
    envelope
        Of the message that completed it, for its run id and mode.
    """

    run: Run
    after_ns: int
    first_offset: int
    envelope: Envelope


class Successor(Protocol[Run]):
    """The next stage of a worker."""

    async def take_early(self, handover: Handover[Run]) -> None:
        """Handle a run and send what is made of it, unless the topic has to bring something first."""
