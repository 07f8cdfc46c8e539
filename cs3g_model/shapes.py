"""The letters of every shape in this package, and the checks at its rims.

====== =====================================================================
letter meaning
====== =====================================================================
T      windows, in time order
N      instruments, in a fixed order within a run
F      features of an instrument in a window
K      slots for an instrument's neighbors (input), or edges it keeps (teacher)
E      edges of a graph
L      wavelet levels; the bank emits (L + 1) F bands
D      width of a block
S      state size of the SSM, per channel
H      heads
R      rank of the graph's query and key factors
====== =====================================================================
"""

from __future__ import annotations

import numpy as np

from cs3g_model.errors import ShapeError
from cs3g_model.snapshots import Snapshots

__all__ = ["check_shape", "check_snapshots"]


def check_shape(name: str, actual: tuple[int, ...], expected: tuple[int | None, ...]) -> None:
    """Check a shape against a pattern in which None matches any size.

    Raises
    ------
    ShapeError
        If the rank or a fixed size differs.
    """
    if len(actual) != len(expected) or any(
        e is not None and a != e for a, e in zip(actual, expected, strict=True)
    ):
        pattern = ", ".join("*" if e is None else str(e) for e in expected)
        raise ShapeError(f"`{name}` must have shape ({pattern}), was {actual}")


def check_snapshots(snapshots: Snapshots, n_features: int) -> tuple[int, int]:
    """Check that the arrays of a run fit each other and the model.

    Parameters
    ----------
    snapshots
        The run.
    n_features
        F that the model was made for.

    Returns
    -------
    tuple[int, int]
        T and N.

    Raises
    ------
    ShapeError
        If a shape or dtype is wrong.
    """
    if _fits(snapshots, n_features):
        T, N, _ = snapshots.features.shape
        return T, N
    check_shape("features", snapshots.features.shape, (None, None, n_features))
    T, N = snapshots.features.shape[:2]
    check_shape("mask", snapshots.mask.shape, (T, N))
    check_shape("sector", snapshots.sector.shape, (N,))
    check_shape("neighbors", snapshots.neighbors.shape, (T, N, None))
    check_shape("neighbor_weights", snapshots.neighbor_weights.shape, snapshots.neighbors.shape)
    K = sum(width for _, width in snapshots.relations)
    if snapshots.neighbors.shape[2] != K:
        raise ShapeError(
            f"the slots of `relations` (={snapshots.relations}) must add up to K of `neighbors` "
            f"(={snapshots.neighbors.shape[2]})"
        )
    for name, dtype in (
        ("features", np.float32),
        ("mask", np.bool_),
        ("sector", np.int16),
        ("neighbors", np.int32),
        ("neighbor_weights", np.float32),
    ):
        actual = getattr(snapshots, name).dtype
        if actual != dtype:
            raise ShapeError(f"`{name}` must have dtype {np.dtype(dtype)}, was {actual}")
    return T, N


def _fits(s: Snapshots, n_features: int) -> bool:
    # The same rules in one expression: a step of microseconds has no time to name what is right.
    shape, K = s.neighbors.shape, 0
    for _, width in s.relations:
        K += width
    return (
        len(shape) == 3
        and shape[2] == K
        and s.neighbor_weights.shape == shape
        and s.features.shape == (*shape[:2], n_features)
        and s.mask.shape == shape[:2]
        and s.sector.shape == shape[1:2]
        and s.features.dtype == np.float32
        and s.mask.dtype == np.bool_
        and s.sector.dtype == np.int16
        and s.neighbors.dtype == np.int32
        and s.neighbor_weights.dtype == np.float32
    )
