from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.correlation import correlate


def neighbors_of(
    ring: NDArray[np.float64], valid: NDArray[np.bool_], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    n = ring.shape[1]
    neighbors, weights = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    correlate(np.where(valid, ring, 0.0), valid.astype(np.float64), neighbors, weights)
    return neighbors, weights


def reference(ring: NDArray[np.float64], valid: NDArray[np.bool_], k: int, i: int) -> list[tuple[int, float]]:
    found = []
    for j in range(ring.shape[1]):
        both = valid[:, i] & valid[:, j]
        if i != j and both.sum() >= (len(ring) + 1) // 2 and ring[both, i].std() and ring[both, j].std():
            found.append((j, float(np.corrcoef(ring[both, i], ring[both, j])[0, 1])))
    return sorted(found, key=lambda pair: (-abs(pair[1]), pair[0]))[:k]


@pytest.mark.parametrize(
    ("n", "k", "share"), [(4, 8, 0.9), (12, 3, 0.7), (12, 3, 1.0), (5, 1, 0.5), (1, 2, 1.0)]
)
def test_neighbors_are_numpys_most_correlated(n: int, k: int, share: float) -> None:
    rng = np.random.default_rng(n * k)
    ring = rng.normal(size=(10, n)) + rng.normal(size=(10, 1))
    valid = rng.random((10, n)) < share
    neighbors, weights = neighbors_of(ring, valid, k)
    for i in range(n):
        expected = reference(ring, valid, k, i)
        assert neighbors[i].tolist() == [j for j, _ in expected] + [-1] * (k - len(expected))
        np.testing.assert_allclose(weights[i, : len(expected)], [c for _, c in expected], rtol=1e-6)
        assert not weights[i, len(expected) :].any()


def test_ties_go_to_the_lower_index() -> None:
    series = np.random.default_rng(0).normal(size=8)
    ring = np.stack([series, -series, series, series], axis=1)
    neighbors, weights = neighbors_of(ring, np.ones((8, 4), np.bool_), 2)
    assert neighbors.tolist() == [[1, 2], [0, 2], [0, 1], [0, 1]]
    assert weights[0].tolist() == [-1.0, 1.0]


def test_a_constant_series_has_no_neighbors() -> None:
    ring = np.random.default_rng(0).normal(size=(8, 3))
    ring[:, 1] = 0.1
    neighbors, _ = neighbors_of(ring, np.ones((8, 3), np.bool_), 2)
    assert neighbors.tolist() == [[2, -1], [-1, -1], [0, -1]]


def test_half_of_the_windows_must_be_common() -> None:
    ring = np.random.default_rng(0).normal(size=(8, 2))
    valid = np.ones((8, 2), np.bool_)
    valid[:4, 0] = False
    assert neighbors_of(ring, valid, 1)[0].tolist() == [[1], [0]]
    valid[4, 0] = False
    assert neighbors_of(ring, valid, 1)[0].tolist() == [[-1], [-1]]
