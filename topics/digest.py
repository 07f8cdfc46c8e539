"""Digests that two runs of the same data must share, however their messages were cut."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np

from topics.runs import PredictionRun, TickRun
from topics.ticks import is_heartbeat

PREFIX: Final = "sha256:"


class TickDigest:
    """SHA-256 over tick records in the order emitted, heartbeats left out. Mutates self."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._n_ticks = 0

    @property
    def n_ticks(self) -> int:
        """Ticks digested."""
        return self._n_ticks

    def update(self, run: TickRun) -> None:
        """Add a run's records."""
        beats = is_heartbeat(run.records)
        ticks = run.records[~beats] if beats.any() else run.records
        self._hash.update(np.ascontiguousarray(ticks).data)
        self._n_ticks += len(ticks)

    def value(self) -> str:
        """Return `sha256:<hex>` of everything added so far."""
        return PREFIX + self._hash.hexdigest()


class PredictionDigest:
    """SHA-256 over predictions in order of (role, universe, ts_close), each window counted once.

    Mutates self. A window is its role, model, universe, end, present instruments, score bits, ranks and
    warmup. Of windows with one identity the first wins; `n_conflicts` counts those that came again with other
    content, which only a pipeline that is not deterministic makes.
    """

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str, int, str], bytes] = {}
        self._n_duplicates = 0
        self._n_conflicts = 0

    @property
    def n_windows(self) -> int:
        """Different windows digested."""
        return len(self._windows)

    @property
    def n_duplicates(self) -> int:
        """Windows that came again with the same content."""
        return self._n_duplicates

    @property
    def n_conflicts(self) -> int:
        """Windows that came again with other content."""
        return self._n_conflicts

    def update(self, run: PredictionRun) -> None:
        """Add a run's windows."""
        identity = "\0".join((run.role, run.model_id, run.universe)).encode()
        for index, ts_close in enumerate(run.ts_close.tolist()):
            present = run.mask[index]
            content = hashlib.sha256(identity)
            content.update(ts_close.to_bytes(8, "little", signed=True))
            content.update(b"\x01" if run.warmup[index] else b"\x00")
            content.update(run.instrument_ids[present].astype("<u4").data)
            content.update(run.scores[index, present].astype("<f4").data)
            content.update(run.ranks[index, present].astype("<i4").data)
            found = content.digest()
            first = self._windows.setdefault((run.role, run.universe, ts_close, run.model_id), found)
            if first is not found:
                if first == found:
                    self._n_duplicates += 1
                else:
                    self._n_conflicts += 1

    def value(self) -> str:
        """Return `sha256:<hex>` of every window added so far."""
        total = hashlib.sha256()
        for key in sorted(self._windows):
            total.update(self._windows[key])
        return PREFIX + total.hexdigest()


def prediction_digest(runs: Iterable[PredictionRun]) -> str:
    """Return the digest of predictions, independent of how they were cut into runs or repeated."""
    digest = PredictionDigest()
    for run in runs:
        digest.update(run)
    return digest.value()
