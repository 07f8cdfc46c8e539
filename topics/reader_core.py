"""What a strategy may see of a predictions topic: each window once, none too old, and every gap reported.

Pure: no Kafka and no clock of its own. Predictions of one universe and role come in order of ts_close on one
partition and are numbered on across a change of models; what comes again after a worker's restart is identical
and is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topics.cuts import slice_predictions
from topics.envelope import Envelope
from topics.runs import PredictionRun
from topics.types import NANOS_PER_SECOND, Role


@dataclass(frozen=True, slots=True)
class PredictionGap:
    """Windows of a role's sequence that never came.

    Attributes
    ----------
    first_seq
        Index of the first missing window.
    n_windows
        How many are missing.
    model_id
        The model after the gap.
    ts_before, ts_after
        ns, ends of the windows before and after the gap.
    """

    universe: str
    role: Role
    model_id: str
    first_seq: int
    n_windows: int
    ts_before: int
    ts_after: int


@dataclass(slots=True)
class ReaderCounts:
    """What was not delivered, and why; in windows, `undecodable` and `refused` in messages."""

    duplicate: int = 0
    stale: int = 0
    refused: int = 0
    undecodable: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What one message yields: the windows to deliver, if any, and the gap before them, if any."""

    run: PredictionRun | None
    gap: PredictionGap | None = None


class PredictionSequence:
    """Deduplicate, age and check predictions. Mutates self.

    Parameters
    ----------
    universe
        Only this one.
    role
        Only this one; None for both.
    max_age_s
        Windows that ended longer ago are dropped; None keeps all.
    allow_replay
        Deliver what a replay produced. A strategy that trades must not.
    """

    def __init__(
        self,
        *,
        universe: str,
        role: Role | None = None,
        max_age_s: float | None = None,
        allow_replay: bool = False,
    ) -> None:
        self._universe = universe
        self._role = role
        self._max_age_ns = None if max_age_s is None else round(max_age_s * NANOS_PER_SECOND)
        self._allow_replay = allow_replay
        # Last (seq, ts_close) delivered or passed over, of each role.
        self._last: dict[Role, tuple[int, int]] = {}
        self.counts = ReaderCounts()

    def accepts(self, envelope: Envelope) -> bool:
        """Return whether a message may be delivered at all; counts it as refused if not."""
        if envelope.mode == "replay" and not self._allow_replay:
            self.counts.refused += 1
            return False
        return True

    def read(self, run: PredictionRun, now_ns: int) -> Reading:
        """Return what is new and fresh of a run.

        Parameters
        ----------
        now_ns
            The clock, ns since the UNIX epoch; counts only with `max_age_s`.
        """
        if run.universe != self._universe or (self._role is not None and run.role != self._role):
            return Reading(None)
        last = self._last.get(run.role)
        n_windows = len(run.ts_close)
        start = 0 if last is None else int(np.searchsorted(run.ts_close, last[1], side="right"))
        self.counts.duplicate += start
        if start == n_windows:
            return Reading(None)

        gap = None
        first_seq, first_ts = run.seq + start, int(run.ts_close[start])
        if last is not None and first_seq > last[0] + 1:
            n_missing = first_seq - last[0] - 1
            gap = PredictionGap(
                run.universe, run.role, run.model_id, last[0] + 1, n_missing, last[1], first_ts
            )
        self._last[run.role] = (run.seq + n_windows - 1, int(run.ts_close[-1]))

        if self._max_age_ns is not None:
            oldest = now_ns - self._max_age_ns
            fresh = max(start, int(np.searchsorted(run.ts_close, oldest, side="left")))
            self.counts.stale += fresh - start
            start = fresh
        if start == n_windows:
            return Reading(None, gap)
        return Reading(run if start == 0 else slice_predictions(run, start, n_windows), gap)
