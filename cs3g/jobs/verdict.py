"""Is a new student no worse than the one that serves? A paired test on windows that neither was fitted to.

The series are what both reach by a measure, window by window: the rank IC, or the rank agreement with the teacher. Of
daily windows it takes years to tell rank ICs apart, of agreements weeks; the measure is the operator's choice, made
before the job. A candidate is not inferior when two tests agree at 5 %: the
stationary bootstrap's lower bound of the mean difference is above -margin, and so says Student's t with the
long-run (HAC) standard error.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
import numpy as np

from cs3g_model.metrics import agreement, rank_ic
from topics.types import BoolArray, Float32Array, Float64Array

__all__ = ["ALPHA", "MIN_WINDOWS", "Measure", "Verdict", "judge", "judge_agreement"]

Measure = Literal["rank-ic", "agreement"]

_WORDS: Final[dict[Measure, str]] = {"rank-ic": "rank IC", "agreement": "agreement with the teacher"}

ALPHA: Final = 0.05

MIN_WINDOWS: Final = 20
"""Fewer paired windows say nothing, however alike the models look on them."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the comparison found.

    Attributes
    ----------
    windows
        Paired windows.
    candidate, incumbent
        Means of the measure.
    difference, low
        Mean of candidate - incumbent, and its lower 95 % bound, one-sided.
    p_value
        Of the t test that the difference is at most -margin.
    margin
        How much worse is still no worse.
    non_inferior
        Both tests agree, and there are windows enough.
    measure
        What was compared.
    """

    windows: int
    candidate: float
    incumbent: float
    difference: float
    low: float
    p_value: float
    margin: float
    non_inferior: bool
    measure: Measure = "rank-ic"

    def sentence(self) -> str:
        """Return the verdict as one sentence."""
        if self.windows < MIN_WINDOWS:
            return (
                f"undecided: {self.windows} windows to judge by, {MIN_WINDOWS} are needed; "
                f"{_WORDS[self.measure]} {self.candidate:.4f} against {self.incumbent:.4f}"
            )
        word = "not inferior" if self.non_inferior else "not shown to be non-inferior"
        return (
            f"{word} within {self.margin:g}: {_WORDS[self.measure]} {self.candidate:.4f} against "
            f"{self.incumbent:.4f} over {self.windows} windows, difference {self.difference:+.4f}, "
            f"at least {self.low:+.4f} (95 %)"
        )

    def metrics(self) -> dict[str, float]:
        """Return the numbers for a status."""
        name = self.measure.replace("-", "_")
        return {
            "judged_windows": float(self.windows),
            name: self.candidate,
            f"incumbent_{name}": self.incumbent,
            f"{name}_difference": self.difference,
            f"{name}_difference_low": self.low,
            "p_value": self.p_value,
            "margin": self.margin,
            "non_inferior": float(self.non_inferior),
        }


def judge(
    candidate: Float32Array,
    incumbent: Float32Array,
    labels: Float32Array,
    counts: BoolArray,
    margin: float,
) -> Verdict:
    """Compare two models' rank ICs on the same windows.

    Parameters
    ----------
    candidate, incumbent
        (W, N) scores.
    labels
        (W, N) returns that followed.
    counts
        (W, N) which of them count.
    margin
        Mean rank IC (> 0).
    """
    a, b = (rank_ic(scores, labels, counts).astype(np.float64) for scores in (candidate, incumbent))
    return _compared(a, b, "rank-ic", margin)


def judge_agreement(
    candidate: Float32Array,
    incumbent: Float32Array,
    teacher: Float32Array,
    counts: BoolArray,
    margin: float,
) -> Verdict:
    """Compare how far two models agree with a teacher on the same windows.

    Parameters
    ----------
    candidate, incumbent, teacher
        (W, N) scores.
    counts
        (W, N) which of them count.
    margin
        Mean rank correlation with the teacher (> 0).
    """
    a, b = (agreement(scores, teacher, counts).astype(np.float64) for scores in (candidate, incumbent))
    return _compared(a, b, "agreement", margin)


def _compared(a: Float64Array, b: Float64Array, measure: Measure, margin: float) -> Verdict:
    # Here, not above: arch and scipy take a second that a worker's start need not wait for.
    from scipy.stats import t as student_t

    from cs3g_model.evaluation.comparison import long_run_error
    from cs3g_model.evaluation.resampling import Resampling

    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    n = len(a)
    if n < 2:
        mean_a, mean_b = (float(x.mean()) if n else 0.0 for x in (a, b))
        return Verdict(
            windows=n,
            candidate=mean_a,
            incumbent=mean_b,
            difference=mean_a - mean_b,
            low=-2.0,
            p_value=1.0,
            margin=margin,
            non_inferior=False,
            measure=measure,
        )
    difference = a - b
    mean = float(difference.mean())
    low, _, _ = Resampling.of(n).limits(difference, 1 - 2 * ALPHA)
    error, _ = long_run_error(difference)
    if error > 0:
        p_value = float(student_t.sf((mean + margin) / error, n - 1))
    else:
        p_value = 0.0 if mean > -margin else 1.0
    return Verdict(
        windows=n,
        candidate=float(a.mean()),
        incumbent=float(b.mean()),
        difference=mean,
        low=low,
        p_value=p_value,
        margin=margin,
        non_inferior=bool(n >= MIN_WINDOWS and low > -margin and p_value < ALPHA),
        measure=measure,
    )
