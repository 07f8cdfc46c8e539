"""Follows the retraining loop's topics while a replay runs, and tells the gate how far it may go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cs3g.following import TopicsFollower
from cs3g.loop.gate import LoopGate
from topics.control import (
    JobRequest,
    JobStatus,
    ModelAnnouncement,
    Outcome,
    TriggerDecision,
    decode_control,
)
from topics.envelope import Envelope
from topics.specs import TopicNames
from topics.types import Role

_TERMINAL: Final = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(slots=True)
class LoopRecords:
    """What the loop has published, each thing once: a record that comes again after a crash is the first one's.

    Attributes
    ----------
    endings
        Terminal status by job.
    """

    outcomes: dict[tuple[Role, int], Outcome] = field(default_factory=dict)
    decisions: dict[int, TriggerDecision] = field(default_factory=dict)
    jobs: dict[str, JobRequest] = field(default_factory=dict)
    endings: dict[str, JobStatus] = field(default_factory=dict)
    announcements: dict[tuple[Role, int], ModelAnnouncement] = field(default_factory=dict)

    def take(self, record: object) -> None:
        """Keep a record if it is of the loop and new."""
        match record:
            case Outcome():
                self.outcomes.setdefault((record.role, record.ts_close), record)
            case TriggerDecision():
                self.decisions.setdefault(record.ts_close, record)
            case JobRequest():
                self.jobs.setdefault(record.job_id, record)
            case JobStatus() if record.state in _TERMINAL:
                self.endings.setdefault(record.job_id, record)
            case ModelAnnouncement():
                self.announcements.setdefault((record.role, record.seq), record)
            case _:
                pass


class LoopFollower(TopicsFollower):
    """A `cs3g.session_watch.Follower` of the retraining loop; a context manager. Mutates self.

    Parameters
    ----------
    bootstrap
        The broker's address.
    topics
        The run's topics.
    gate
        Told of decisions and jobs.
    roles
        Of which there is an outcome of every window.
    """

    def __init__(self, bootstrap: str, topics: TopicNames, gate: LoopGate, roles: Sequence[Role]) -> None:
        self._asked = (topics.distill_jobs, topics.distill_status)
        super().__init__(bootstrap, [topics.outcomes, topics.distill_decisions, topics.models, *self._asked])
        self._gate = gate
        self._last_outcome_ns = dict.fromkeys(roles, -1)
        self.found = LoopRecords()

    @property
    def gate(self) -> LoopGate:
        """What holds the replay back."""
        return self._gate

    async def poll(self) -> bool:
        """Take what has arrived; return whether something has."""
        records = await self._arrived(timeout_ms=0)
        for record in records:
            self._take(record)
        # A decision's job is with the broker before the outcome that it follows from. So read the jobs that there
        # are now, and only then say that the outcome's window is decided.
        decided_ns = min(self._last_outcome_ns.values())
        async for record in self._present(self._asked):
            self._take(record)
            records.append(record)
        for job_id, request in self.found.jobs.items():
            if job_id not in self.found.endings:
                self._gate.requested(job_id, request.since_ts_close)
        for job_id in self._gate.pending & self.found.endings.keys():
            self._gate.ended(job_id)
        self._gate.decided(decided_ns)
        return bool(records)

    def is_done(self, last_window_ns: int) -> bool:
        """Return whether every window with a label is decided, and every job has ended."""
        return not self._gate.pending and self._gate.is_decided(last_window_ns)

    def _take(self, record: Any) -> None:
        content = decode_control(record.value, Envelope.from_headers(record.headers))
        self.found.take(content)
        # A window counts once all that is told of it is here: the last one's outcomes are a part of the report.
        if isinstance(content, Outcome) and content.role in self._last_outcome_ns:
            last_ns = self._last_outcome_ns[content.role]
            self._last_outcome_ns[content.role] = max(last_ns, content.ts_close)
