"""What every model takes: a sequence of graph snapshots as arrays.

Letters: T windows, N instruments, F features, K neighbors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Consecutive graph snapshots of one universe.

    Attributes
    ----------
    features
        (T, N, F) float32, normalized across the present instruments; 0 where absent.
    mask
        (T, N) bool, whether the instrument is present in the window.
    sector
        (N,) int16, -1 where unknown.
    neighbors
        (T, N, K) int32 indices into N of the most correlated instruments, -1 for none.
    neighbor_weights
        (T, N, K) float32 rolling correlations; 0 for none.
    """

    features: NDArray[np.float32]
    mask: NDArray[np.bool_]
    sector: NDArray[np.int16]
    neighbors: NDArray[np.int32]
    neighbor_weights: NDArray[np.float32]
