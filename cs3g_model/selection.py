"""The strongest edges of a dense window, as loops: what torch needs several passes over (H, N, N) for."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model.jit import kernel

__all__ = ["SECTOR_AFFINITY", "select_edges"]

Array = NDArray[np.float32]

SECTOR_AFFINITY: Final = 0.5
"""What two instruments of one sector have for a relation's weight; correlations of stocks are of this size."""

_ZERO: Final = np.float32(0.0)
_AFFINITY: Final = np.float32(SECTOR_AFFINITY)
_LOWEST: Final = np.float32(-np.inf)


@kernel
def select_edges(
    dense: Array,
    coefficients: Array,
    mask: NDArray[np.bool_],
    sector: NDArray[np.int64],
    neighbors: NDArray[np.int64],
    weights: Array,
    stops: NDArray[np.int64],
    has_sector: bool,
    index: NDArray[np.int64],
    values: Array,
) -> None:
    """Add the priors to the logits of one window and keep every row's strongest edges.

    Parameters
    ----------
    dense
        (H, N, N) logits without priors, destination by source; overwritten.
    coefficients
        (H, P) of the P priors, the sector's first if there is one.
    mask, sector
        (N,) of the window.
    neighbors, weights
        (N, K) slots of the edge relations that the priors read, one after the other.
    stops
        Ends of the edge relations' slots along K.
    has_sector
        Whether the first prior is the sector's.
    index
        (H, N, M) out: the sources by descending logit, ties by the lower one; the destination itself where
        there are fewer.
    values
        (H, N, M, P) out: the relations' weights on the chosen edges, never negative.
    """
    H, N, M = index.shape
    first = 1 if has_sector else 0
    best = np.empty(M, np.float32)
    for h in range(H):
        for i in range(N):
            row = dense[h, i]
            if has_sector and sector[i] >= 0:
                bonus = coefficients[h, 0] * _AFFINITY
                for j in range(N):
                    row[j] = row[j] + (bonus if sector[j] == sector[i] else _ZERO)
            start = 0
            for p in range(len(stops)):
                for k in range(start, stops[p]):
                    if neighbors[i, k] >= 0:
                        row[neighbors[i, k]] += coefficients[h, first + p] * max(weights[i, k], _ZERO)
                start = stops[p]
            _strongest(row, mask, i, best, index[h, i])
            for m in range(M):
                _relations_of(
                    i, index[h, i, m], sector, neighbors, weights, stops, has_sector, values[h, i, m]
                )


@kernel
def _strongest(row: Array, mask: NDArray[np.bool_], i: int, best: Array, chosen: NDArray[np.int64]) -> None:
    last = len(best) - 1
    best[:] = _LOWEST
    chosen[:] = i
    for j in range(len(row)):
        x = row[j]
        if x > best[last] and mask[j] and j != i:
            place = last
            while place > 0 and best[place - 1] < x:
                best[place] = best[place - 1]
                chosen[place] = chosen[place - 1]
                place -= 1
            best[place] = x
            chosen[place] = j


@kernel
def _relations_of(
    i: int,
    j: int,
    sector: NDArray[np.int64],
    neighbors: NDArray[np.int64],
    weights: Array,
    stops: NDArray[np.int64],
    has_sector: bool,
    out: Array,
) -> None:
    out[:] = _ZERO
    first = 0
    if has_sector:
        first = 1
        if sector[i] >= 0 and sector[i] == sector[j]:
            out[0] = _AFFINITY
    start = 0
    for p in range(len(stops)):
        for k in range(start, stops[p]):
            if neighbors[i, k] == j:
                out[first + p] += max(weights[i, k], _ZERO)
        start = stops[p]
