"""How far a stream has moved from its own past: the population stability index of values, window by window.

Values are counted on a grid that no data decides: 0, and four steps an octave of either sign. Counts are integers
until they decay, so neither the order of instruments nor a cut of the sequence changes a bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from cs3g_model.jit import kernel
from cs3g_model.logarithm import logarithm
from topics.types import Float64Array, Int64Array

ABSENT: Final = 255
"""Code of a cell without a value."""

BINS: Final = 10
"""Classes of about equal share in the reference period, the usual number for this index."""

_STEPS_AN_OCTAVE: Final = 4
_LOWEST_EXPONENT: Final = -19  # as frexp counts: values below 2^-20 are 0
_STEPS: Final = 24 * _STEPS_AN_OCTAVE  # of one sign, up to 2^4; what lies beyond is in the last
_ZERO: Final = _STEPS
CODES: Final = 2 * _STEPS + 1

Codes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class DriftState:
    """What is remembered of C columns of values; nobody writes into its arrays.

    Attributes
    ----------
    n_windows
        Windows seen.
    reference
        (C, CODES) int64, how often each code came in the reference period.
    recent
        (C, BINS) float64, exponentially decayed counts of the windows after it.
    """

    n_windows: int
    reference: Int64Array
    recent: Float64Array

    @classmethod
    def initial(cls, n_columns: int) -> Self:
        """Make the state before the first window."""
        return cls(0, np.zeros((n_columns, CODES), np.int64), np.zeros((n_columns, BINS)))


def encode_values(values: NDArray[Any], present: NDArray[np.bool_]) -> Codes:
    """Return each value's code, ascending with the value; `ABSENT` where `present` is not set.

    Parameters
    ----------
    values
        (T, N, C) finite where present.
    present
        (T, N).

    Returns
    -------
    (T, N, C) uint8.
    """
    codes = np.full(values.shape, ABSENT, np.uint8)
    _fill_codes(np.ascontiguousarray(values, np.float64), np.ascontiguousarray(present), codes)
    return codes


def observe(
    codes: Codes, state: DriftState, *, reference_windows: int, recent_windows: int
) -> tuple[Float64Array, DriftState]:
    """Count windows, and measure each against the reference. Pure.

    The index of a column is the sum over classes of (q - p) ln(q / p): p the class's share in the reference
    period, with half a value added, spread over all classes; q its share lately, with `BINS` values of the
    reference added, so that a class that is empty by chance does not look like drift. Below 0.1 is usually
    called stable, above 0.25 moved. "Lately" decays so that `recent_windows` is its span: a window's weight falls
    by the factor (span - 1) / (span + 1) with each that follows.

    Parameters
    ----------
    codes
        (T, N, C) uint8 of `encode_values`.
    reference_windows, recent_windows
        Length of the reference period, the first windows; and the span, for which the index must also wait.

    Returns
    -------
    (T, C) float64, NaN until reference period and span have passed; and the state after the windows.
    """
    n_windows, _, n_columns = codes.shape
    psi = np.full((n_windows, n_columns), np.nan)
    after = replace(state, n_windows=state.n_windows + n_windows, recent=state.recent.copy())
    if state.n_windows < reference_windows:
        after = replace(after, reference=state.reference.copy())
    keep = (recent_windows - 1) / (recent_windows + 1)
    _observe(
        np.ascontiguousarray(codes),
        state.n_windows,
        reference_windows,
        recent_windows,
        keep,
        after.reference,
        after.recent,
        psi,
    )
    return psi, after


@kernel
def _fill_codes(values: Float64Array, present: NDArray[np.bool_], codes: Codes) -> None:
    for t in range(values.shape[0]):
        for n in range(values.shape[1]):
            if not present[t, n]:
                continue
            for c in range(values.shape[2]):
                mantissa, exponent = math.frexp(abs(values[t, n, c]))
                step = (exponent - _LOWEST_EXPONENT) * _STEPS_AN_OCTAVE
                step += int((mantissa - 0.5) * 2 * _STEPS_AN_OCTAVE)
                if mantissa == 0.0 or exponent < _LOWEST_EXPONENT:
                    codes[t, n, c] = _ZERO
                elif values[t, n, c] > 0:
                    codes[t, n, c] = _ZERO + 1 + min(step, _STEPS - 1)
                else:
                    codes[t, n, c] = _ZERO - 1 - min(step, _STEPS - 1)


@kernel
def _classes(reference: Int64Array, classes: NDArray[np.int64]) -> None:
    """Put each code into one of `BINS` classes by the middle of its place among the reference's values."""
    total = reference.sum()
    below = 0
    for code in range(len(reference)):
        if total > 0:
            classes[code] = min(BINS * (2 * below + reference[code]) // (2 * total), BINS - 1)
        below += reference[code]


@kernel
def _observe(
    codes: Codes,
    n_seen: int,
    reference_windows: int,
    recent_windows: int,
    keep: float,
    reference: Int64Array,
    recent: Float64Array,
    psi: Float64Array,
) -> None:
    classes = np.zeros((codes.shape[2], CODES), np.int64)
    shares = np.zeros((codes.shape[2], BINS), np.float64)
    is_ready = False
    for t in range(codes.shape[0]):
        if n_seen + t < reference_windows:
            for n in range(codes.shape[1]):
                for c in range(codes.shape[2]):
                    if codes[t, n, c] != ABSENT:
                        reference[c, codes[t, n, c]] += 1
            continue
        if not is_ready:
            is_ready = True
            for c in range(codes.shape[2]):
                _classes(reference[c], classes[c])
                for code in range(CODES):
                    shares[c, classes[c, code]] += reference[c, code]
                shares[c] = (shares[c] + 0.5 / BINS) / (shares[c].sum() + 0.5)
        recent *= keep
        for n in range(codes.shape[1]):
            for c in range(codes.shape[2]):
                if codes[t, n, c] != ABSENT:
                    recent[c, classes[c, codes[t, n, c]]] += 1.0
        if n_seen + t + 1 >= reference_windows + recent_windows:
            for c in range(codes.shape[2]):
                total = 0.0
                for b in range(BINS):
                    total += recent[c, b]
                index = 0.0
                for b in range(BINS):
                    p = shares[c, b]
                    q = (recent[c, b] + BINS * p) / (total + BINS)
                    index += (q - p) * logarithm(q / p)
                psi[t, c] = index
