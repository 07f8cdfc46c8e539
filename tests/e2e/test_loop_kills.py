"""Any process of the retraining loop killed with -9 at random moments: nothing is other than undisturbed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cs3g.loop.follow import LoopRecords
from tests.e2e.loops import N_DAYS, Disturbed, Reached, run_disturbed_loop, write_market

pytestmark = [pytest.mark.e2e, pytest.mark.broker]

KILLS = int(os.environ.get("CS3G_TEST_KILLS", "6"))
"""More take longer: 20 were run by hand, see docs/retraining.md."""

SEED = int(os.environ.get("CS3G_TEST_KILLS_SEED", "0"))
SERVING = ("student-1", "student-2", "teacher-1", "outcomes-1")
MAX_WAIT_POLLS = 30
"""About 3 s: as long as a restarted worker needs to begin, so that some are killed while they recover."""

LAST_WINDOWS = 10
"""So near to the end nothing is waited for any more: the run may be over before the moment."""


@dataclass(frozen=True, order=True)
class Moment:
    """A kill so many polls after so many windows are predicted, or after a job process has begun."""

    windows: int
    polls: int
    name: str


def random_moments(kills: int, seed: int) -> tuple[list[Moment], list[int]]:
    """Draw the kills of what serves, and after how many polls of a running job its worker is killed."""
    generator = np.random.default_rng(seed)
    of_jobs = max(1, kills // 4)
    moments = [
        Moment(
            int(generator.integers(0, N_DAYS - 5)),
            int(generator.integers(MAX_WAIT_POLLS)),
            str(generator.choice(SERVING)),
        )
        for _ in range(kills - of_jobs)
    ]
    return sorted(moments), generator.integers(0, MAX_WAIT_POLLS, of_jobs).tolist()


class Killer:
    """Kills at the moments drawn and starts again what it has killed; mutates self."""

    def __init__(self, kills: int, seed: int) -> None:
        self._moments, self._job_polls = random_moments(kills, seed)
        self._due: list[tuple[int, str]] = []
        self._polls = 0
        self._job_polls_seen = 0
        self.killed: list[str] = []

    def __call__(self, loop: Disturbed, found: LoopRecords) -> None:
        self._polls += 1
        while self._moments and loop.windows >= self._moments[0].windows:
            moment = self._moments.pop(0)
            self._due.append((self._polls + moment.polls, moment.name))
        ends = loop.windows >= N_DAYS - LAST_WINDOWS
        for due in [due for due in self._due if ends or due[0] <= self._polls]:
            self._due.remove(due)
            self._kill(loop, due[1])
        if self._job_polls and found.jobs.keys() - found.endings.keys():
            self._disturb_job(loop)
        elif found.jobs:
            # The job was quicker than the moments drawn: its workers die in idleness.
            for _ in range(len(self._job_polls)):
                self._job_polls.pop()
                self._kill(loop, "jobs-1")

    @property
    def left(self) -> int:
        return len(self._moments) + len(self._due) + len(self._job_polls)

    def _disturb_job(self, loop: Disturbed) -> None:
        begun = sorted(loop.spool.glob("jobs-*/*/request.json"))
        holders = [path.relative_to(loop.spool).parts[0] for path in begun]
        self._job_polls_seen += bool(holders)
        if holders and self._job_polls_seen > self._job_polls[0]:
            self._job_polls.pop(0)
            self._job_polls_seen = 0
            self._kill(loop, holders[0])

    def _kill(self, loop: Disturbed, name: str) -> None:
        loop.restart(name)
        self.killed.append(name)


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_market(tmp_path_factory.mktemp("market") / "panel.parquet")


def test_kills_at_random_moments_and_more_workers_change_nothing(
    bootstrap_servers: str, broker_kind: str, panel: Path, tmp_path: Path
) -> None:
    def looped(name: str, killer: Killer | None, workers: int) -> Reached:
        return run_disturbed_loop(
            tmp_path / name,
            panel,
            bootstrap_servers,
            embedded=broker_kind == "embedded",
            workers=workers,
            job_workers=workers,
            on_poll=killer,
        )

    undisturbed = looped("undisturbed", None, workers=1)
    (job,) = undisturbed.values["jobs"]
    assert job["ending"]["state"] == "succeeded"
    assert [activation["job_id"] for activation in undisturbed.activations] == [
        None,
        None,
        job["request"]["job_id"],
    ]
    killer = Killer(KILLS, SEED)
    disturbed = looped("disturbed", killer, workers=2)
    assert killer.left == 0
    assert len(killer.killed) == KILLS
    disturbed.check_equals(undisturbed)
