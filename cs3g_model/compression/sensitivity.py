"""What each group of tensors loses in fewer bits, measured with the code that serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cs3g_model.compression.layout import Arrays, groups_of
from cs3g_model.compression.packing import SweepRow, values_of
from cs3g_model.compression.quantized import choices_of, store, stored_bytes
from cs3g_model.config import StudentConfig
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.metrics import agreement, rank_ic
from cs3g_model.student_runtime import StudentRuntime
from cs3g_model.training.validation import BURN_IN

__all__ = ["Judge", "Verdict", "sweep"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a student does on the validation windows.

    Attributes
    ----------
    agreement
        Mean rank agreement with the reference.
    rank_ic
        Mean rank IC.
    """

    agreement: float
    rank_ic: float


class Judge:
    """Compares students with a reference on the validation windows, or the training ones if there are none.

    Parameters
    ----------
    data
        The history; a student starts `BURN_IN` windows before those that count.
    reference
        The student to agree with.
    """

    def __init__(self, data: LabeledSnapshots, reference: StudentRuntime) -> None:
        start, stop = data.train_stop, data.valid_stop
        if stop - start < 2:
            start = 0
        self.skipped = min(start, BURN_IN)
        first = start - self.skipped
        self.snapshots = data.snapshots.window(first, stop)
        self.labels = data.labels[start:stop]
        self.scored = data.scored(start, stop)
        self.reference = self.scores(reference)

    def scores(self, model: StudentRuntime) -> NDArray[np.float32]:
        """Return a student's scores (T, N) of the windows that count."""
        scores, _ = model.step_many(self.snapshots, model.initial_state(self.snapshots.mask.shape[1]))
        return scores[self.skipped :]

    def __call__(self, model: StudentRuntime) -> Verdict:
        """Judge a student."""
        scores = self.scores(model)
        agreed = agreement(scores, self.reference, self.snapshots.mask[self.skipped :])
        return Verdict(_mean(agreed), _mean(rank_ic(scores, self.labels, self.scored)))


def sweep(
    config: StudentConfig,
    tensors: Arrays,
    judge: Judge,
    *,
    bits: Mapping[str, tuple[int, ...]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[SweepRow]:
    """Round one group at a time, the others untouched, and judge.

    Parameters
    ----------
    config, tensors
        The student, in float32 and folded (`layout.canonical`).
    judge
        With this student, or the one that it comes from, as its reference.
    bits
        What to try for each group; all that is possible by default.
    progress
        Called with the number of trials done and their total.

    Returns
    -------
    list[SweepRow]
        By group and bits.
    """
    groups = groups_of(tensors)
    whole = dict.fromkeys(groups, 32)
    trials = [(group, n) for group in groups for n in ((bits or {}).get(group) or choices_of(group))]
    rows = []
    for done, (group, n) in enumerate(trials, start=1):
        rounded = store(tensors, whole | {group: n})
        model = StudentRuntime(config, {name: values_of(stored) for name, stored in rounded.items()}, "trial")
        verdict = judge(model)
        rows.append(
            SweepRow(
                group=group,
                bits=n,
                bytes=stored_bytes(tensors, group, n),
                agreement=verdict.agreement,
                rank_ic=verdict.rank_ic,
            )
        )
        if progress is not None:
            progress(done, len(trials))
    return rows


def _mean(series: NDArray[np.float64]) -> float:
    return float(np.nanmean(series)) if np.isfinite(series).any() else 0.0
