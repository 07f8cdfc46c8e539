"""Who leads whom: the correlation of an instrument's return with others' returns one snapshot before.

Pairs (x, y) are of the returns r_i[t] and r_j[t - 1] of consecutive snapshots up to the present one, at most W
of them; whether there is a return is per instrument, so a pair counts the snapshots where both are there. It
has to have half of those that the universe's sequence has had so far, of at most W, and 32 or half of W at
least: edges appear from the 34th snapshot on, and an instrument that came late leads nobody on a few lucky
returns.

Every pair is summed in a fixed order that hangs on its own returns and the snapshot's index only, so neither
a cut nor an instrument that comes later moves a bit. Series without gaps share all but the sum of products:
D destinations then cost D N W multiply-adds, and three times that more for sources with gaps, twice for
destinations with gaps.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from cs3g_model.jit import kernel
from pipeline.lead_lag_sums import (
    NUMBER,
    SX,
    SXX,
    SXY,
    SY,
    SYY,
    complete,
    counts,
    first_returns_there,
    look_back,
    n_lines,
    order_by_gaps,
    sum_known,
)
from pipeline.neighbor_slots import insert_neighbor
from pipeline.pair_correlation import UNDEFINED, pair_correlations
from topics.types import Float32Array, Float64Array, Int32Array

_FEWEST_PAIRS: Final = 32


@kernel
def find_leaders(
    ring: Float32Array,
    seq: int,
    windows: int,
    destinations: Int32Array,
    is_begun: bool,
    work: Float64Array,
    neighbors: Int32Array,
    weights: Float32Array,
) -> None:
    """Find the K others whose returns of a snapshot before are most correlated with each destination's.

    Parameters
    ----------
    ring
        (> windows, N) returns, see `pipeline.returns_ring`.
    seq
        Index of the newest snapshot in the universe's sequence.
    windows
        W, the most pairs that are looked back on.
    destinations
        (D,) indices of the instruments to do.
    is_begun
        Whether `begin_leaders` has been called with this workspace, and nothing else done with it.
    work
        From `leader_workspace`.
    neighbors, weights
        (N, K) out, by descending |correlation|, ties by the lower index; only the destinations' rows are
        written, -1 and 0 where fewer have a correlation.
    """
    pairs, least = _extent(seq, windows)
    if pairs < least or len(destinations) == 0:
        return
    lines = n_lines(work, windows)
    if not is_begun:
        look_back(ring, seq, pairs, least, lines, work)
    count, first_there = counts(work, lines), first_returns_there(work, pairs)
    sources, n_whole = order_by_gaps(count, pairs, least)
    n_used = len(sources)
    newest = ring[seq % ring.shape[0]]
    sums = np.empty((6, n_used))
    line, correlations = np.empty(n_used), np.full(ring.shape[1], UNDEFINED)
    for start in range(0, len(destinations), lines):
        block = destinations[start : start + lines]
        if not is_begun:
            sum_known(ring, seq, pairs, least, block, lines, work)
        for d in range(len(block)):
            i = block[d]
            neighbors[i] = -1
            weights[i] = 0.0
            if count[i] - first_there[i] + (0.0 if math.isnan(newest[i]) else 1.0) < least:
                continue
            complete(ring, seq, pairs, n_whole, n_used, i, d, lines, work, sums)
            pair_correlations(sums[NUMBER], sums[SX], sums[SY], sums[SXX], sums[SYY], sums[SXY], least, line)
            for s in range(n_used):
                correlations[sources[s]] = line[s]
            correlations[i] = UNDEFINED
            _keep_strongest(correlations, neighbors[i], weights[i])


@kernel
def begin_leaders(
    ring: Float32Array, seq: int, windows: int, destinations: Int32Array, work: Float64Array
) -> None:
    """Do what `find_leaders` can do before snapshot `seq` has come; parameters as there.

    Parameters
    ----------
    work
        Large enough for all the destinations.
    """
    pairs, least = _extent(seq, windows)
    if pairs >= least and len(destinations):
        lines = n_lines(work, windows)
        look_back(ring, seq, pairs, least, lines, work)
        sum_known(ring, seq, pairs, least, destinations, lines, work)


@kernel
def _extent(seq: int, windows: int) -> tuple[int, int]:
    # The first snapshot has no returns, so the first pair is of the second and third.
    pairs = max(min(windows, seq - 1), 0)
    return pairs, max((pairs + 1) // 2, min(_FEWEST_PAIRS, (windows + 1) // 2), 2)


@kernel
def _keep_strongest(correlations: Float64Array, neighbors: Int32Array, weights: Float32Array) -> None:
    best = np.full(len(neighbors), -1.0)
    weakest = -1.0
    for j in range(len(correlations)):
        if correlations[j] != UNDEFINED and abs(correlations[j]) > weakest:
            weakest = insert_neighbor(best, neighbors, weights, j, correlations[j])
