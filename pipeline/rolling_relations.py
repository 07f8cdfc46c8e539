"""Carries the relations that are made from returns over a run of windows.

Correlations are computed anew every `correlation_stride` snapshots for all; who leads an instrument every
`lead_stride` snapshots, in turns by instrument id, so that the work is spread. Both go by seq and id alone:
neither a cut nor a restart nor another instrument moves them.
"""

from __future__ import annotations

import numpy as np

from cs3g_model.jit import kernel
from pipeline.correlation import correlate
from pipeline.lead_lag import find_leaders
from pipeline.neighbor_slots import place_present
from pipeline.returns_ring import enter_returns, recent_returns
from topics.types import BoolArray, Float32Array, Float64Array, Int32Array, UInt32Array


@kernel
def roll_relations(
    returns: Float64Array,
    valid: BoolArray,
    mask: BoolArray,
    instrument_ids: UInt32Array,
    seq: int,
    ring: Float32Array,
    correlation_windows: int,
    correlation_stride: int,
    correlated: Int32Array,
    correlated_weights: Float32Array,
    lead_windows: int,
    lead_stride: int,
    is_begun: bool,
    work: Float64Array,
    leading: Int32Array,
    leading_weights: Float32Array,
    neighbors: Int32Array,
    weights: Float32Array,
) -> None:
    """Enter T windows of returns and give every window its correlated and leading neighbors.

    Parameters
    ----------
    returns, valid
        (T, N) returns normalized across each window, and whether there is one: without what the market did,
        and with outliers clipped, pairs stand out that a common factor would drown.
    mask
        (T, N) whether the instrument is present; neighbors of a window are present in it.
    instrument_ids
        (N,) ascending.
    seq
        Index of the first window in the universe's sequence.
    ring
        (depth, N) the last returns; updated in place.
    correlated, correlated_weights, leading, leading_weights
        (N, K1) and (N, K2) the last refresh's neighbors, strongest first, -1 for none; updated in place.
    is_begun, work
        Of the first window, as in `pipeline.lead_lag.find_leaders`.
    neighbors, weights
        (T, N, K) out: the first K1 + K2 slots are written.
    """
    windows, instruments = mask.shape
    n_correlated, n_leading = correlated.shape[1], leading.shape[1]
    recent = np.empty((correlation_windows, instruments))
    present = np.empty((correlation_windows, instruments))
    turn = np.empty(instruments, np.int32)
    for t in range(windows):
        now = seq + t
        enter_returns(ring, now, returns[t], valid[t])
        if n_correlated > 0 and now % correlation_stride == 0:
            recent_returns(ring, now, correlation_windows, recent, present)
            correlate(recent, present, correlated, correlated_weights)
        if n_leading > 0:
            n_turn = 0
            for n in range(instruments):
                if int(instrument_ids[n]) % lead_stride == now % lead_stride:
                    turn[n_turn] = n
                    n_turn += 1
            find_leaders(
                ring, now, lead_windows, turn[:n_turn], is_begun and t == 0, work, leading, leading_weights
            )
        place_present(correlated, correlated_weights, mask[t], 0, neighbors[t], weights[t])
        place_present(leading, leading_weights, mask[t], n_correlated, neighbors[t], weights[t])
