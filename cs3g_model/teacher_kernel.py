"""The teacher's graph where nothing has to be learned: logits, strongest edges and messages in one pass.

What torch makes of a window in several passes over (H, N, N) and (H, N, K, R), here each destination's row of
logits is made, searched and used while it lies in the first cache. The reference is `graph.EvolvingGraph`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model.jit import kernel
from cs3g_model.lanes import LANES, any_above, element, fma, load, splat, spread, store
from cs3g_model.selection import SECTOR_AFFINITY
from cs3g_model.vector_math import ZERO, exponential

__all__ = ["mix_strongest"]

Array = NDArray[np.float32]
Indices = NDArray[np.int64]

_AFFINITY: Final = np.float32(SECTOR_AFFINITY)
_LOWEST: Final = np.float32(-np.inf)


@kernel
def mix_strongest(
    q: Array,
    k: Array,
    values: Array,
    coefficients: Array,
    sector: Indices,
    neighbors: Indices,
    weights: Array,
    stops: Indices,
    has_sector: bool,
    edges: int,
    out: Array,
) -> None:
    """Send every head's values along its strongest edges, all N instruments being present.

    Parameters
    ----------
    q, k
        (H, N, R) queries over sqrt(R), and keys.
    values
        (N, D), a head's part of D after the other's.
    coefficients
        (H, P) of the priors, the sector's first if there is one.
    sector, neighbors, weights, stops, has_sector
        As of `selection.select_edges`.
    edges
        K that a destination keeps.
    out
        (N, D), filled.
    """
    H, N, R = q.shape
    padded = (N + LANES - 1) // LANES * LANES
    width = values.shape[1] // H
    keys = np.zeros(R * padded, np.float32)
    row = np.empty(padded, np.float32)
    codes = sector.astype(np.int32)
    best, chosen = np.empty(edges + 1, np.float32), np.empty(edges + 1, np.int64)
    for h in range(H):
        for j in range(N):
            for r in range(R):
                keys[r * padded + j] = k[h, j, r]
        prior = ZERO
        for p in range(coefficients.shape[1]):
            prior += coefficients[h, p]
        for i in range(N):
            _logits(q, h, i, keys, padded, row)
            own = row[i] + _AFFINITY * prior
            row[N:] = _LOWEST
            if has_sector and codes[i] >= 0:
                bonus = coefficients[h, 0] * _AFFINITY
                for j in range(N):
                    row[j] += bonus if codes[j] == codes[i] else ZERO
            _add_relations(row, i, neighbors, weights, stops, coefficients[h], 1 if has_sector else 0)
            row[i] = _LOWEST
            _search(row, best, chosen)
            _send(best, chosen, own, values, h * width, width, out[i])


@kernel(part=True)
def _logits(q: Array, h: int, i: int, keys: Array, padded: int, row: Array) -> None:
    N, R = q.shape[1:]
    first = (h * N + i) * R
    for j in range(0, padded, LANES):
        total = splat(ZERO)
        for r in range(R):
            total = fma(spread(q, first + r), load(keys, r * padded + j), total)
        store(row, j, total)


@kernel(part=True)
def _add_relations(
    row: Array, i: int, neighbors: Indices, weights: Array, stops: Indices, coefficients: Array, first: int
) -> None:
    start = 0
    for p in range(len(stops)):
        for k in range(start, stops[p]):
            j = neighbors[i, k]
            if j >= 0:
                row[j] += coefficients[first + p] * max(weights[i, k], ZERO)
        start = stops[p]


@kernel(part=True)
def _search(row: Array, best: Array, chosen: Indices) -> None:
    # The strongest by descending logit, ties by the lower index.
    last = len(best) - 1
    best[:] = _LOWEST
    chosen[:] = 0
    for start in range(0, len(row), LANES):
        if not any_above(load(row, start), best[last]):
            continue
        for j in range(start, start + LANES):
            x = element(row, j)
            if x > best[last]:
                place = last
                while place > 0 and best[place - 1] < x:
                    best[place] = best[place - 1]
                    chosen[place] = chosen[place - 1]
                    place -= 1
                best[place] = x
                chosen[place] = j


@kernel(part=True)
def _send(
    best: Array, chosen: Indices, own: np.float32, values: Array, column: int, width: int, out: Array
) -> None:
    last = len(best) - 1
    top = max(best[0], own)
    cut = exponential(best[last] - top) if best[last] > _LOWEST else ZERO
    total = exponential(own - top)
    for c in range(column, column + width):
        out[c] = ZERO
    for m in range(last):
        if best[m] > _LOWEST:
            share = max(exponential(best[m] - top) - cut, ZERO)
            total += share
            for c in range(column, column + width):
                out[c] += share * values[chosen[m], c]
    for c in range(column, column + width):
        out[c] /= total
