"""What a job worker is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cs3g.jobs.engines import EngineConfig, engine_command
from cs3g.jobs.errors import JobError
from cs3g.jobs.verdict import Measure

__all__ = ["WorkerSettings"]


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Settings of a job worker.

    Attributes
    ----------
    spool
        Folder for the files of the job in hand.
    datasets
        Folder whose folders are the archives that may be learned from; None for the topic of snapshots only.
    recipes
        Folder of recipes besides the shipped ones.
    engine
        Where jobs run.
    timeout_s
        Longest that one attempt may take.
    lease_s
        After so long without a word about it, a job's worker counts as dead and another one takes the job over.
    margin
        By how much a new student may be worse, in the mean of the measure, and still be promoted.
    measure
        What it is compared by: the rank IC, or the rank agreement with the teacher.
    attempts
        How often a job is begun if its process crashes.
    command
        From the engine and a job's folder to the process that does it.
    """

    spool: Path
    datasets: Path | None = None
    recipes: Path | None = None
    engine: EngineConfig = field(default_factory=EngineConfig)
    timeout_s: float = 3600.0
    lease_s: float = 30.0
    margin: float = 0.005
    measure: Measure = "rank-ic"
    attempts: int = 2
    command: Callable[[EngineConfig, Path], list[str]] = engine_command

    def __post_init__(self) -> None:
        for name in ("timeout_s", "lease_s", "margin", "attempts"):
            if not getattr(self, name) > 0:
                raise JobError(f"`{name}` (={getattr(self, name)}) must be above 0")
        for name in ("datasets", "recipes"):
            folder: Path | None = getattr(self, name)
            if folder is not None and not folder.is_dir():
                raise JobError(f"`{name}` (={str(folder)!r}) is no folder")
        self.engine.check()
