"""What a session runs: the replay, the workers, and the roles that predict."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.config import PipelineConfig
from replay.config import ReplayConfig
from topics.types import Role


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What to run.

    Attributes
    ----------
    workers
        Processes of role student.
    teacher
        Whether a teacher scores in the shadow, in a process of its own.
    embedded
        Whether the broker is the embedded one, which keeps a bounded tail.
    services
        More processes: name, and arguments of `cs3g`.
    """

    config: PipelineConfig
    replay: ReplayConfig
    workers: int = 1
    teacher: bool = True
    embedded: bool = True
    services: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that predict."""
        return ("student", "teacher") if self.teacher else ("student",)
