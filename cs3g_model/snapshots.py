"""What every model takes: a sequence of graph snapshots as arrays.

Letters: T windows, N instruments, F features, K slots for neighbors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Snapshots", "slots_of"]


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
        (T, N, K) int32 indices into N of each instrument's neighbors, -1 for none. An edge leads from the
        neighbor to the instrument.
    neighbor_weights
        (T, N, K) float32 in [-1, 1], with a sign; 0 for none.
    relations
        Name and number of slots of each edge relation, in the order in which they share K.
    """

    features: NDArray[np.float32]
    mask: NDArray[np.bool_]
    sector: NDArray[np.int16]
    neighbors: NDArray[np.int32]
    neighbor_weights: NDArray[np.float32]
    relations: tuple[tuple[str, int], ...] = ()

    def window(self, start: int, stop: int) -> Snapshots:
        """Return windows [start, stop), as views."""
        return replace(
            self,
            features=self.features[start:stop],
            mask=self.mask[start:stop],
            neighbors=self.neighbors[start:stop],
            neighbor_weights=self.neighbor_weights[start:stop],
        )


def slots_of(relations: tuple[tuple[str, int], ...], name: str) -> slice:
    """Return the slots of a relation along K; none where the snapshots lack it."""
    start = 0
    for other, width in relations:
        if other == name:
            return slice(start, start + width)
        start += width
    return slice(0, 0)
