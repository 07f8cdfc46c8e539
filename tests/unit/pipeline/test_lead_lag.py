from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.lead_lag import begin_leaders, find_leaders
from pipeline.lead_lag_sums import leader_workspace

Ring = NDArray[np.float32]


def leaders_of(ring: Ring, seq: int, windows: int, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    n = ring.shape[1]
    neighbors, weights = np.full((n, k), -1, np.int32), np.zeros((n, k), np.float32)
    everyone, work = np.arange(n, dtype=np.int32), leader_workspace(windows, n)
    work[:] = np.nan  # holds nothing between calls
    find_leaders(ring, seq, windows, everyone, False, work, neighbors, weights)
    return neighbors, weights


def ring_of(series: NDArray[np.float64], windows: int) -> tuple[Ring, int]:
    """The ring after all of (T, N) returns; the first snapshot is without, as the pipeline's."""
    ring = np.full((windows + 3, series.shape[1]), np.nan, np.float32)
    for seq in range(1, len(series)):
        ring[seq % len(ring)] = series[seq]
    return ring, len(series) - 1


def reference(series: NDArray[np.float64], windows: int, i: int, k: int) -> list[tuple[int, float]]:
    """By the book, of the last `windows` pairs of consecutive snapshots."""
    series = series.astype(np.float32).astype(np.float64)[1:]
    pairs = min(windows, len(series) - 1)
    x, found = series[-pairs:, i], []
    for j in range(series.shape[1]):
        y = series[-pairs - 1 : -1, j]
        both = np.isfinite(x) & np.isfinite(y)
        needed = max((pairs + 1) // 2, min(32, (windows + 1) // 2))
        if i != j and both.sum() >= needed and x[both].std() and y[both].std():
            found.append((j, float(np.corrcoef(x[both], y[both])[0, 1])))
    return sorted(found, key=lambda pair: (-abs(pair[1]), pair[0]))[:k]


@pytest.mark.parametrize("gaps", [0.0, 0.2, 0.5])
@pytest.mark.parametrize(
    ("n", "length", "windows"), [(20, 50, 13), (37, 14, 10), (3, 300, 128), (600, 10, 6)]
)
def test_leaders_are_numpys_strongest_lagged_correlations(
    n: int, length: int, windows: int, gaps: float
) -> None:
    rng = np.random.default_rng(n)
    series = rng.normal(size=(length, n))
    with_gaps = rng.random(n) < 0.5
    series[:, with_gaps] = np.where(
        rng.random((length, with_gaps.sum())) < gaps, np.nan, series[:, with_gaps]
    )
    neighbors, weights = leaders_of(*ring_of(series, windows), windows, 4)
    for i in range(0, n, max(1, n // 40)):
        expected = reference(series, windows, i, 4)
        assert neighbors[i].tolist() == [j for j, _ in expected] + [-1] * (4 - len(expected))
        np.testing.assert_allclose(weights[i, : len(expected)], [c for _, c in expected], rtol=2e-6)
        assert not weights[i, len(expected) :].any()


def test_a_planted_leader_is_found_with_its_sign_and_does_not_follow() -> None:
    rng = np.random.default_rng(0)
    series = rng.normal(size=(200, 6))
    series[1:, 1] = -0.8 * series[:-1, 4] + 0.6 * series[1:, 1]
    neighbors, weights = leaders_of(*ring_of(series, 128), 128, 1)
    assert neighbors[1, 0] == 4
    assert -0.9 < weights[1, 0] < -0.65
    assert abs(weights[4, 0]) < 0.4


def test_edges_appear_with_32_pairs_and_need_half_of_what_there_was() -> None:
    series = np.random.default_rng(1).normal(size=(200, 3))
    assert (leaders_of(*ring_of(series[:33], 128), 128, 1)[0] == -1).all()  # 31 pairs: 2 of 3 snapshots each
    assert (leaders_of(*ring_of(series[:34], 128), 128, 1)[0] >= 0).all()
    late = series.copy()
    late[:-63, 2] = np.nan  # 62 pairs with the last one's return of the snapshot before
    assert 2 not in leaders_of(*ring_of(late, 128), 128, 2)[0]
    late[-65:, 2] = series[-65:, 2]
    assert 2 in leaders_of(*ring_of(late, 128), 128, 2)[0]


def test_ties_go_to_the_lower_index_and_a_constant_series_leads_nobody() -> None:
    rng = np.random.default_rng(2)
    series = np.repeat(rng.normal(size=(60, 1)), 5, axis=1)
    series[1:, 0] = series[:-1, 1]
    series[:, 3] = 0.1
    neighbors, _ = leaders_of(*ring_of(series, 40), 40, 3)
    assert neighbors[0].tolist() == [1, 2, 4]
    assert neighbors[3].tolist() == [-1] * 3


def test_only_the_destinations_are_written_and_others_move_no_bit() -> None:
    rng = np.random.default_rng(3)
    series = rng.normal(size=(60, 40))
    series[rng.random(series.shape) < 0.1] = np.nan
    series[:, ::3] = rng.normal(size=series[:, ::3].shape)
    ring, seq = ring_of(series, 40)
    whole = leaders_of(ring, seq, 40, 2)
    neighbors, weights = np.full((40, 2), -7, np.int32), np.full((40, 2), -7, np.float32)
    turn = np.array([3, 8, 20], np.int32)
    find_leaders(ring, seq, 40, turn, False, leader_workspace(40, 40), neighbors, weights)
    assert neighbors[turn].tobytes() == whole[0][turn].tobytes()
    assert weights[turn].tobytes() == whole[1][turn].tobytes()
    rest = np.setdiff1d(np.arange(40), turn)
    assert (neighbors[rest] == -7).all()
    # Instruments that have just come, wherever they are put between the others.
    place = np.sort(rng.permutation(55)[:40])
    wider = np.full((len(ring), 55), np.nan, np.float32)
    wider[:, place] = ring
    grown = leaders_of(wider, seq, 40, 2)
    assert np.append(place, -1)[whole[0]].tolist() == grown[0][place].tolist()
    assert whole[1].tobytes() == grown[1][place].tobytes()


@pytest.mark.parametrize("gaps", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("length", [3, 6, 9, 12, 13, 14, 15, 40])
def test_what_is_done_before_the_newest_snapshot_changes_no_bit(length: int, gaps: float) -> None:
    rng = np.random.default_rng(length)
    n, windows = 33, 11
    series = rng.normal(size=(length, n))
    series[:, ::2] = np.where(rng.random(series[:, ::2].shape) < gaps, np.nan, series[:, ::2])
    series[-1, 1] = np.nan  # the first gap of a series comes with the newest snapshot
    ring, seq = ring_of(series, windows)
    turn = np.arange(0, n, 3, dtype=np.int32)
    results = []
    for is_begun in (False, True):
        neighbors, weights = np.full((n, 4), -1, np.int32), np.zeros((n, 4), np.float32)
        work = leader_workspace(windows, n, len(turn) if is_begun else 2)
        work[:] = np.nan
        if is_begun:
            before = ring.copy()
            before[seq % len(ring)] = 7.0  # whatever lies there, it is not looked at
            begin_leaders(before, seq, windows, turn, work)
        find_leaders(ring, seq, windows, turn, is_begun, work, neighbors, weights)
        results.append(neighbors.tobytes() + weights.tobytes())
    assert results[0] == results[1]
