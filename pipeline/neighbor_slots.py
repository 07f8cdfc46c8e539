"""The slots of an edge relation: the strongest few of each instrument, and those of them that are present."""

from __future__ import annotations

from cs3g_model.jit import kernel
from topics.types import BoolArray, Float32Array, Float64Array, Int32Array


@kernel
def insert_neighbor(
    best: Float64Array, neighbors: Int32Array, weights: Float32Array, other: int, weight: float
) -> float:
    """Put a neighbor that is stronger than the weakest in its place among an instrument's K.

    Others have to come in ascending order of index, so that a tie leaves the earlier one in front.

    Parameters
    ----------
    best
        (K,) absolute weights, descending, -1 for none; updated in place like the two below.
    neighbors, weights
        (K,) indices and weights with their sign.

    Returns
    -------
    What the absolute weight of the next one has to exceed.
    """
    strength = abs(weight)
    last = len(best) - 1
    place = last
    while place > 0 and best[place - 1] < strength:
        best[place] = best[place - 1]
        neighbors[place] = neighbors[place - 1]
        weights[place] = weights[place - 1]
        place -= 1
    best[place] = strength
    neighbors[place] = other
    weights[place] = weight
    return float(best[last])


@kernel
def place_present(
    candidates: Int32Array,
    candidate_weights: Float32Array,
    mask: BoolArray,
    first: int,
    neighbors: Int32Array,
    weights: Float32Array,
) -> None:
    """Give every present instrument of one window those of its candidates that are present too.

    Parameters
    ----------
    candidates, candidate_weights
        (N, W) indices, -1 for none, and weights, strongest first.
    mask
        (N,) whether the instrument is present.
    first
        The relation's first slot.
    neighbors, weights
        (N, K) out; only the slots first .. first + W - 1 are written.
    """
    width = candidates.shape[1]
    for n in range(len(mask)):
        kept = first
        if mask[n]:
            for k in range(width):
                other = candidates[n, k]
                if other >= 0 and mask[other]:
                    neighbors[n, kept] = other
                    weights[n, kept] = candidate_weights[n, k]
                    kept += 1
        for k in range(kept, first + width):
            neighbors[n, k] = -1
            weights[n, k] = 0.0


@kernel
def place_every_window(
    candidates: Int32Array,
    candidate_weights: Float32Array,
    mask: BoolArray,
    first: int,
    neighbors: Int32Array,
    weights: Float32Array,
) -> None:
    """Place the same candidates in T windows; `mask` (T, N), `neighbors` and `weights` (T, N, K)."""
    for t in range(len(mask)):
        place_present(candidates, candidate_weights, mask[t], first, neighbors[t], weights[t])
