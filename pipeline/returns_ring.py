"""The last snapshots' returns of every instrument: a ring of rows seq mod depth, NaN where there is none.

float32 holds a return to a ten-millionth of itself and halves the checkpoint; sums over it are of float64.
"""

from __future__ import annotations

from cs3g_model.jit import kernel
from topics.types import BoolArray, Float32Array, Float64Array, Int32Array


@kernel
def enter_returns(ring: Float32Array, seq: int, returns: Float64Array, valid: BoolArray) -> None:
    """Write the returns of snapshot `seq` over those of the snapshot `depth` before.

    Parameters
    ----------
    ring
        (depth, N), updated in place.
    returns, valid
        (N,) normalized returns, and whether there is one.
    """
    row = ring[seq % ring.shape[0]]
    for n in range(len(row)):
        row[n] = returns[n] if valid[n] else float("nan")


@kernel
def recent_returns(
    ring: Float32Array, seq: int, depth: int, values: Float64Array, present: Float64Array
) -> None:
    """Copy the returns of the last snapshots, oldest first.

    Parameters
    ----------
    ring
        (>= depth, N).
    seq
        Of the newest snapshot.
    depth
        Snapshots wanted; those before the universe's first have no returns.
    values, present
        (>= depth, N) out: returns, 0 where there is none, and 1 or 0; rows from `depth` on become 0.
    """
    for w in range(values.shape[0]):
        then = seq - depth + 1 + w
        if w >= depth or then < 0:
            values[w] = 0.0
            present[w] = 0.0
            continue
        source, to, here = ring[then % ring.shape[0]], values[w], present[w]
        for n in range(len(source)):
            value = source[n]
            is_there = value == value  # NaN is not
            to[n] = value if is_there else 0.0
            here[n] = 1.0 if is_there else 0.0


@kernel
def series_of(
    ring: Float32Array,
    seq: int,
    depth: int,
    instruments: Int32Array,
    values: Float64Array,
    present: Float64Array,
) -> None:
    """Copy as `recent_returns` does, but of some instruments only and one instrument a row.

    `values` and `present` are (>= len(instruments), >= depth); columns from `depth` on become 0.
    """
    values[:] = 0.0
    present[:] = 0.0
    for w in range(depth):
        then = seq - depth + 1 + w
        if then < 0:
            continue
        source = ring[then % ring.shape[0]]
        for d in range(len(instruments)):
            value = source[instruments[d]]
            if value == value:  # NaN is not
                values[d, w] = value
                present[d, w] = 1.0
