from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.correlation import correlate
from pipeline.lead_lag import find_leaders
from pipeline.lead_lag_sums import leader_workspace
from pipeline.rolling_relations import roll_relations

WINDOWS, N, K, STRIDE, DEPTH = 30, 7, 2, 4, 6
LEAD_K, LEAD_STRIDE, LEAD_DEPTH = 3, 3, 8
IDS = np.array([1, 2, 5, 6, 9, 12, 13], np.uint32)


def roll(returns: NDArray[np.float64], mask: NDArray[np.bool_], cuts: list[int]) -> list[NDArray[np.float64]]:
    """Neighbors and weights of all windows, with the state carried from piece to piece."""
    ring = np.full((max(DEPTH, LEAD_DEPTH + 1), N), np.nan, np.float32)
    state = [np.full((N, K), -1, np.int32), np.zeros((N, K), np.float32)]
    lead = [np.full((N, LEAD_K), -1, np.int32), np.zeros((N, LEAD_K), np.float32)]
    valid, out = mask.copy(), []
    valid[0] = False
    for start, stop in zip([0, *cuts], [*cuts, len(mask)], strict=True):
        shape = (stop - start, N, K + LEAD_K)
        neighbors, weights = np.empty(shape, np.int32), np.empty(shape, np.float32)
        roll_relations(
            returns[start:stop], valid[start:stop], mask[start:stop], IDS, start, ring,
            DEPTH, STRIDE, *state, LEAD_DEPTH, LEAD_STRIDE, False, leader_workspace(LEAD_DEPTH, N), *lead,
            neighbors, weights,
        )  # fmt: skip
        out.append(np.stack([neighbors, weights]).astype(np.float64))
    return list(np.concatenate(out, axis=1))


def test_refreshes_go_by_seq_and_id_and_neighbors_are_present() -> None:
    rng = np.random.default_rng(1)
    returns, mask = rng.normal(size=(WINDOWS, N)), rng.random((WINDOWS, N)) < 0.9
    neighbors, weights = roll(returns, mask, [])
    assert (neighbors[:, :, :K] >= 0).any()
    assert (neighbors[:, :, K:] >= 0).any()
    history = np.where(mask, returns, np.nan).astype(np.float32)
    history[0] = np.nan
    for t in range(WINDOWS):
        for i in range(N):
            refreshed = t - t % STRIDE
            recent = np.full((DEPTH, N), np.nan)
            seen = history[max(0, refreshed - DEPTH + 1) : refreshed + 1]
            recent[DEPTH - len(seen) :] = seen
            found, strength = np.empty((N, K), np.int32), np.empty((N, K), np.float32)
            correlate(np.nan_to_num(recent), np.isfinite(recent).astype(float), found, strength)
            compare(neighbors[t, i, :K], weights[t, i, :K], found[i], strength[i], mask[t], i)
            refreshed = t - (t - int(IDS[i])) % LEAD_STRIDE
            found, strength = np.full((N, LEAD_K), -1, np.int32), np.zeros((N, LEAD_K), np.float32)
            if refreshed >= 0:
                ring = np.full((32, N), np.nan, np.float32)
                ring[: refreshed + 1] = history[: refreshed + 1]
                turn = np.array([i], np.int32)
                work = leader_workspace(LEAD_DEPTH, N)
                find_leaders(ring, refreshed, LEAD_DEPTH, turn, False, work, found, strength)
            compare(neighbors[t, i, K:], weights[t, i, K:], found[i], strength[i], mask[t], i)


def compare(
    neighbors: NDArray[np.float64],
    weights: NDArray[np.float64],
    found: NDArray[np.int32],
    strength: NDArray[np.float32],
    mask: NDArray[np.bool_],
    i: int,
) -> None:
    kept = [k for k, j in enumerate(found) if mask[i] and j >= 0 and mask[j]]
    padding = [0] * (len(found) - len(kept))
    assert neighbors.tolist() == [*found[kept], *(p - 1 for p in padding)]
    assert weights.tolist() == [*strength[kept], *padding]


def test_cuts_move_no_bit_and_no_window_looks_ahead() -> None:
    rng = np.random.default_rng(2)
    returns, mask = rng.normal(size=(WINDOWS, N)), rng.random((WINDOWS, N)) < 0.8
    whole = roll(returns, mask, [])
    for cuts in ([1], [10, 11], [5, 12, 13, 14, 29]):
        assert [a.tobytes() for a in roll(returns, mask, cuts)] == [a.tobytes() for a in whole]
    other = returns.copy()
    other[20:] = rng.normal(size=other[20:].shape)
    for a, b in zip(roll(other, mask, []), whole, strict=True):
        assert a[:20].tobytes() == b[:20].tobytes()
        assert a[20:].tobytes() != b[20:].tobytes()
